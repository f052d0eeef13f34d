import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../support/folder.ts';
import { opensslKeyAndRequest } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import { type Product, startProduct } from '../support/product.ts';

// What the product publishes, as software that no one here wrote judges it: against the running status app.
const SHARDS = 4;
const names = ['good', 'revoked', 'held', 'expired'] as const;
type Name = (typeof names)[number];

let product: Product;
let folder: string;
const serials = new Map<string, string>();
const running: ChildProcess[] = [];

const file = (name: string): string => join(folder, name);

/** What it said, on both channels, and how it ended. */
function run(program: string, ...args: readonly string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
  return { status, said: `${stdout}${stderr}` };
}

async function fetchTo(path: string, name: string): Promise<void> {
  const answer = await fetch(`${product.status}${path}`);
  expect([path, answer.status]).toEqual([path, 200]);
  writeFileSync(file(name), Buffer.from(await answer.arrayBuffer()));
}

/** The CRL that a certificate points to. */
function crlUrl(name: Name): string {
  const said = run('openssl', 'x509', '-in', file(`${name}.pem`), '-noout', '-ext', 'crlDistributionPoints').said;
  return /URI:(\S+)/.exec(said)?.[1] ?? '';
}

const listed = (der: string): string => run('openssl', 'crl', '-inform', 'DER', '-in', file(der), '-noout', '-text').said.toLowerCase();

async function revoke(name: string, reason: string): Promise<void> {
  const answer = await product.json('POST', `/v1/certificates/${serials.get(name)}/revocation`, 'security', { reason });
  expect([name, answer.status]).toEqual([name, 200]);
}

beforeAll(async () => {
  folder = openFolder('fleetroot-judges-');
  const profiles = file('profiles');
  cpSync(fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), profiles, { recursive: true });
  const ecu = readFileSync(join(profiles, 'ecu-client.yaml'), 'utf8');
  writeFileSync(join(profiles, 'ecu-client.yaml'), `${ecu}crlShards: ${SHARDS}\n`);
  // Ends long before the CRLs of today do.
  writeFileSync(join(profiles, 'ecu-brief.yaml'), ecu.replace('name: ecu-client', 'name: ecu-brief').replace('  days: 730', '  hours: 1'));
  product = await startProduct({ arguments: ['--set', `FLEETROOT_PROFILES_DIR=${profiles}`] });
  for (const name of [...names, 'gateway'] as const) {
    const csr = opensslKeyAndRequest(folder, name, 'localhost');
    const [token, body] = name === 'gateway' ? ['admin', { profile: 'gateway-server' }] as const
      : ['line', { profile: name === 'expired' ? 'ecu-brief' : 'ecu-client', ecuSerial: `JUDGE-${name}`, partNumber: 'TCU-1' }] as const;
    const issued = await product.json('POST', '/v1/certificates', token, { ...body, csr });
    expect(issued.status, JSON.stringify(issued.body)).toBe(201);
    writeFileSync(file(`${name}.pem`), issued.body.certificate);
    writeFileSync(file(`${name}-chain.pem`), [issued.body.certificate, ...issued.body.chain].join(''));
    serials.set(name, issued.body.serial);
  }
  for (const [path, name] of [['ecu-clients', 'store.pem'], ['ecu-clients/crls', 'unused.pem']] as const) {
    writeFileSync(file(name), await (await product.fetch('GET', `/v1/truststores/${path}`, 'gateway')).text());
  }
  for (const pem of readFileSync(file('store.pem'), 'utf8').match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? []) {
    const certificate = new X509Certificate(pem);
    writeFileSync(file(certificate.subject === certificate.issuer ? 'root.pem' : 'issuing.pem'), pem);
  }
  await revoke('revoked', 'superseded');
  await revoke('held', 'certificateHold');
  for (const name of ['revoked', 'held']) await product.crlNames(serials.get(name) ?? '');
  writeFileSync(file('crls.pem'), await (await product.fetch('GET', '/v1/truststores/ecu-clients/crls', 'gateway')).text());
}, 300_000);

afterAll(async () => {
  for (const child of running) child.kill();
  await product?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

describe('the CRLs', () => {
  it('are well formed and signed, for openssl and gnutls: of the whole CA, of each shard, and their deltas', async () => {
    const shards = Array.from({ length: SHARDS }, (_, shard) => `/crl/ecu-issuing/${SHARDS}/${shard}`);
    for (const base of ['/crl/ecu-issuing', ...shards]) {
      for (const path of [`${base}.crl`, `${base}.delta.crl`]) {
        await expect.poll(async () => (await fetch(`${product.status}${path}`)).status, { timeout: 30_000 }).toBe(200);
        await fetchTo(path, 'one.crl');
        expect([path, run('openssl', 'crl', '-inform', 'DER', '-in', file('one.crl'), '-noout', '-CAfile', file('issuing.pem'), '-verify').said.trim()]).toEqual([path, 'verify OK']);
        run('openssl', 'crl', '-inform', 'DER', '-in', file('one.crl'), '-out', file('one.pem'));
        const gnutls = run('certtool', '--verify-crl', '--load-ca-certificate', file('issuing.pem'), '--infile', file('one.pem'));
        expect([path, gnutls.status, gnutls.said]).toEqual([path, 0, expect.stringMatching(/Verification output: Verified/) as string]);
      }
    }
  });

  it.each([
    ['good', 'good.pem: OK'], ['revoked', 'certificate revoked'], ['held', 'certificate revoked'],
  ] as const)('say %s to openssl verify, by the one of the whole CA', (name, verdict) => {
    expect(run('openssl', 'verify', '-crl_check_all', '-CAfile', file('store.pem'), '-CRLfile', file('crls.pem'), file(`${name}.pem`)).said).toContain(verdict);
  });

  it.each([
    ['good', 'good.pem: OK'], ['revoked', 'certificate revoked'], ['held', 'certificate revoked'],
  ] as const)('say %s to openssl verify, by the shard that the certificate names with its delta', async (name, verdict) => {
    const url = crlUrl(name);
    expect(url).toMatch(new RegExp(`/crl/ecu-issuing/${SHARDS}/[0-3]\\.crl$`));
    const path = new URL(url).pathname;
    if (name !== 'good') {
      await expect.poll(async () => {
        await fetchTo(path.replace(/\.crl$/, '.delta.crl'), 'delta.crl');
        await fetchTo(path, 'full.crl');
        return `${listed('delta.crl')}${listed('full.crl')}`.includes(serials.get(name)!.toLowerCase());
      }, { timeout: 30_000 }).toBe(true);
    } else {
      await fetchTo(path.replace(/\.crl$/, '.delta.crl'), 'delta.crl');
      await fetchTo(path, 'full.crl');
    }
    const pems = ['full.crl', 'delta.crl'].map((der) => execFileSync('openssl', ['crl', '-inform', 'DER', '-in', file(der)], { encoding: 'utf8' }));
    const root = readFileSync(file('crls.pem'), 'utf8').match(/-----BEGIN[^]+?-----END X509 CRL-----\n/g) ?? [];
    writeFileSync(file('sharded.pem'), [...pems, ...root.filter((pem) => !isOfIssuing(pem))].join(''));
    expect(run('openssl', 'verify', '-crl_check_all', '-extended_crl', '-use_deltas', '-CAfile', file('store.pem'), '-CRLfile', file('sharded.pem'), file(`${name}.pem`)).said)
      .toContain(verdict);
  });
});

function isOfIssuing(pem: string): boolean {
  writeFileSync(file('some.pem'), pem);
  return run('openssl', 'crl', '-in', file('some.pem'), '-noout', '-issuer').said.includes('ecu-issuing');
}

describe('OCSP', () => {
  const verdicts = [['good', /: good/], ['revoked', /: revoked[^]*Reason: superseded/], ['held', /: revoked[^]*Reason: certificateHold/], ['expired', /: good/]] as const;
  const ours = (): string[] => ['-CAfile', file('store.pem'), '-issuer', file('issuing.pem')];

  it.each(verdicts.flatMap(([name, verdict]) => ['-nonce', '-no_nonce', '-sha256'].map((how) => [name, how, verdict] as const)))('says %s to openssl by POST, %s', (name, how, verdict) => {
    const { status, said } = run('openssl', 'ocsp', ...(how === '-sha256' ? ['-no_nonce', '-sha256'] : [how]), ...ours(), '-cert', file(`${name}.pem`), '-url', `${product.status}/ocsp`);
    expect([status, said]).toEqual([0, expect.stringContaining('Response verify OK') as string]);
    expect(said).toMatch(verdict);
    expect(said).not.toContain('WARNING');
  });

  it.each(verdicts)('says %s to openssl, by GET', (name, verdict) => {
    execFileSync('openssl', ['ocsp', '-no_nonce', '-issuer', file('issuing.pem'), '-cert', file(`${name}.pem`), '-reqout', file('request.der')]);
    const path = encodeURIComponent(readFileSync(file('request.der')).toString('base64'));
    execFileSync('curl', ['-sf', '-o', file('response.der'), `${product.status}/ocsp/${path}`]);
    const { said } = run('openssl', 'ocsp', '-respin', file('response.der'), '-no_nonce', ...ours(), '-cert', file(`${name}.pem`));
    expect(said).toContain('Response verify OK');
    expect(said).toMatch(verdict);
  });

  it('says unknown of a serial number that was never issued', () => {
    const { said } = run('openssl', 'ocsp', '-no_nonce', ...ours(), '-serial', '0x4242424242424242', '-url', `${product.status}/ocsp`);
    expect(said).toContain('Response verify OK');
    expect(said).toMatch(/: unknown/);
  });

  it.each([
    ['good', ['--nonce'], /Certificate Status: good/], ['good', [], /Certificate Status: good/], ['revoked', ['--nonce'], /Certificate Status: revoked/],
    ['held', [], /Certificate Status: revoked/],
  ] as const)('says %s to gnutls %s', (name, how, verdict) => {
    const { said } = run('ocsptool', `--ask=${product.status}/ocsp`, '--load-issuer', file('issuing.pem'), '--load-cert', file(`${name}.pem`), '--load-trust', file('store.pem'), ...how);
    expect(said).toMatch(verdict);
    expect(said).toMatch(/Verifying OCSP Response: Success/);
  });
});

async function serve(program: string, args: readonly string[], port: number): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: 'ignore' });
  running.push(child);
  for (let tries = 0; tries < 100; tries++) {
    if (run('curl', '-sk', '-o', '/dev/null', `https://127.0.0.1:${port}/`).status !== 7) return child;
    await sleep(50);
  }
  throw new Error(`${program} did not start`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await gone;
}

const asClient = (name: Name, port: number): string =>
  run('curl', '-sS', '--cacert', file('store.pem'), '--resolve', `localhost:${port}:127.0.0.1`, '--cert', file(`${name}-chain.pem`), '--key', file(`${name}.key`), `https://localhost:${port}/`).said;

describe('HAProxy with crl-file', () => {
  it('lets the good one in, and neither the revoked nor the one on hold', async () => {
    const port = await freePort();
    writeFileSync(file('gateway-all.pem'), readFileSync(file('gateway-chain.pem'), 'utf8') + readFileSync(file('gateway.key'), 'utf8'));
    writeFileSync(file('haproxy.cfg'), `
global
  maxconn 100
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend gateway
  bind 127.0.0.1:${port} ssl crt ${file('gateway-all.pem')} ca-file ${file('store.pem')} verify required crl-file ${file('crls.pem')}
  http-request return status 200 content-type text/plain string "let in"
`);
    const haproxy = await serve('haproxy', ['-db', '-f', file('haproxy.cfg')], port);
    expect(asClient('good', port)).toBe('let in');
    for (const name of ['revoked', 'held'] as const) expect([name, asClient(name, port)]).toEqual([name, expect.stringMatching(/alert|reset|error/i) as string]);
    await end(haproxy);
  });
});

describe('nginx with ssl_stapling', () => {
  const configuration = (port: number): string => `
daemon off; master_process off; pid ${file('nginx.pid')}; error_log ${file('nginx.log')} info;
events {}
http {
  access_log off; resolver 127.0.0.1;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${file('gateway-chain.pem')}; ssl_certificate_key ${file('gateway.key')};
    ssl_trusted_certificate ${file('store.pem')}; ssl_stapling on; ssl_stapling_verify on;
    ssl_client_certificate ${file('store.pem')}; ssl_crl ${file('crls.pem')}; ssl_verify_client optional; ssl_verify_depth 3;
    location / { return 200 "$ssl_client_verify"; }
  }
}`;

  it('staples what it was told, and nothing of a server certificate that was revoked; ssl_crl refuses as HAProxy does', async () => {
    const port = await freePort();
    writeFileSync(file('nginx.conf'), configuration(port));
    const first = await serve('nginx', ['-c', file('nginx.conf'), '-p', folder], port);
    const stapled = (): string => run('sh', '-c', `openssl s_client -connect 127.0.0.1:${port} -servername localhost -CAfile ${file('store.pem')} -status </dev/null`).said;
    // The first handshake makes it ask; it staples from the next one on.
    await expect.poll(stapled, { timeout: 20_000 }).toMatch(/OCSP Response Status: successful[^]*Cert Status: good/);
    expect(asClient('good', port)).toBe('SUCCESS');
    for (const name of ['revoked', 'held'] as const) expect([name, asClient(name, port)]).toEqual([name, expect.stringContaining('400') as string]);
    await end(first);

    await revoke('gateway', 'keyCompromise');
    await expect.poll(() => run('openssl', 'ocsp', '-no_nonce', '-issuer', file('issuing.pem'), '-CAfile', file('store.pem'), '-cert', file('gateway.pem'), '-url', `${product.status}/ocsp`).said, { timeout: 10_000 }).toMatch(/: revoked/);
    writeFileSync(file('nginx.log'), '');
    const second = await serve('nginx', ['-c', file('nginx.conf'), '-p', folder], port);
    await expect.poll(() => {
      stapled();
      return readFileSync(file('nginx.log'), 'utf8');
    }, { timeout: 20_000 }).toMatch(/certificate status "revoked" in the OCSP response/);
    await end(second);
  });
});

describe('Java\'s PKIXRevocationChecker', () => {
  const judged = (how: 'ocsp' | 'crl'): string[] => execFileSync('java', [
    '-Dcom.sun.security.enableCRLDP=true', fileURLToPath(new URL('../support/PathCheck.java', import.meta.url)), how, file('root.pem'),
    ...names.filter((name) => name !== 'expired').map((name) => file(`${name}-chain.pem`)),
  ], { encoding: 'utf8' }).trim().split('\n');

  it.each(['ocsp', 'crl'] as const)('agrees, by %s', (how) => {
    expect(judged(how)).toEqual(['good', 'revoked SUPERSEDED', 'revoked CERTIFICATE_HOLD']);
  });
});

describe('a certificate that ends', () => {
  it.each([[-1, 'expired.pem: OK'], [1, 'certificate has expired']])('%i s from its last second: %s', (seconds, verdict) => {
    const at = new Date(new X509Certificate(readFileSync(file('expired.pem'))).validTo).getTime() / 1000 + seconds;
    expect(run('openssl', 'verify', '-attime', String(at), '-crl_check_all', '-CAfile', file('store.pem'), '-CRLfile', file('crls.pem'), file('expired.pem')).said).toContain(verdict);
  });
});
