// Ceremonies through the command line, as operators and officers hold them, on SoftHSM: approvals, transcripts, an offline
// root over two tokens, and what comes on record in an installation.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../support/folder.ts';
import { openssl } from '../support/openssl.ts';
import { type Product, startProduct, until } from '../support/product.ts';
import { makeToken, softhsmModule, type TestToken } from '../support/softhsm.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'apps/cli/dist/main.js');

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
beforeAll(() => {
  folder = openFolder('fleetroot-ceremonies-');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fleetroot(parameters: readonly string[], environment: Record<string, string> = {}): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...parameters], { encoding: 'utf8', timeout: 120_000, env: { ...process.env, ...environment } });
  return { status, stdout, stderr };
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

describe('a ceremony that two of three officers approve', () => {
  let token: TestToken;
  let place: string;
  let ceremony: string;
  const at = (name: string): string => join(place, name);
  const environment = (): Record<string, string> => ({ SOFTHSM2_CONF: token.softhsmConf });
  const tokenFlags = (): string[] => ['--folder', ceremony, '--hsm-module', softhsmModule, '--token-label', token.tokenLabel, '--pin-file', at('pin')];
  const run = (...parameters: string[]): Outcome => fleetroot(['ceremony', 'run', at('plan.yaml'), ...tokenFlags(), '--by', 'erin', ...parameters], environment());
  const approve = (...parameters: string[]): Outcome => fleetroot(['ceremony', 'approve', ...parameters]);
  const statement = (sha: string, officer: string): string => join(ceremony, 'approvals', `${sha}-${officer}.txt`);

  beforeAll(async () => {
    place = join(folder, 'approved');
    ceremony = at('ceremony');
    mkdirSync(place);
    token = await makeToken('root-of-test');
    writeFileSync(at('pin'), token.pin.reveal(), { mode: 0o600 });
    writeFileSync(at('passphrase'), 'correct horse battery staple');
    openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-aes256', '-pass', `file:${at('passphrase')}`, '-out', at('alice.key')]);
    openssl(['pkey', '-in', at('alice.key'), '-passin', `file:${at('passphrase')}`, '-pubout', '-out', at('alice.pub')]);
    for (const [name, algorithm] of [['bob', ['ED25519']], ['erin', ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256']]] as const) {
      openssl(['genpkey', '-algorithm', ...algorithm, '-out', at(`${name}.key`)]);
      openssl(['pkey', '-in', at(`${name}.key`), '-pubout', '-out', at(`${name}.pub`)]);
    }
    writeFileSync(at('plan.yaml'), [
      'ceremony: The root of a test', 'approvals: 2', 'officers:',
      ...['alice', 'bob', 'erin'].map((name) => `  - { name: ${name}, publicKeyFile: ${name}.pub }`),
      'authorities:', '  - { name: test-root, key: p-384, subject: { commonName: Root of a test }, years: 20, pathLength: 1 }',
      '  - { name: test-issuing, parent: test-root, key: p-256, subject: { commonName: Issuing CA of a test }, years: 10, pathLength: 0 }',
      'crls:', '  - { authority: test-root, days: 30 }', '',
    ].join('\n'));
  });
  afterAll(() => token?.remove());

  let sha: string;

  it('shows what will be signed, asks the officers, and signs nothing', () => {
    const shown = run('--dry-run');
    expect(shown).toMatchObject({ status: 0, stderr: '' });
    expect(shown.stdout).toContain('Keys were made in the token, since they did not exist yet: fleetroot-ceremony, test-root, test-issuing.');
    const told = JSON.parse(run('--dry-run', '--json').stdout) as { sha256: string; keysMade: string[]; officers: { statement: string }[]; objects: { tbsSha256: string }[] };
    sha = told.sha256;
    // The second dry run is the first one again.
    expect(shown.stdout).toContain(`SHA-256 of this text: ${sha}`);
    expect(told.keysMade).toEqual([]);
    const text = join(ceremony, 'approvals', `${sha}.txt`);
    expect(sha256(text)).toBe(sha);
    expect(told.objects).toHaveLength(3);
    for (const { tbsSha256 } of told.objects) expect(readFileSync(text, 'utf8')).toContain(`SHA-256 ${tbsSha256}`);
    expect(told.officers.map((officer) => officer.statement)).toEqual(['alice', 'bob', 'erin'].map((officer) => statement(sha, officer)));
    expect(readFileSync(statement(sha, 'bob'), 'utf8').split('\n').slice(1, 4)).toEqual(['Ceremony: The root of a test', 'Officer:  bob', `SHA-256:  ${sha}`]);
    expect(readdirSync(ceremony).filter((name) => /\.(?:cer|pem|crl)$/.test(name) || name === 'transcripts')).toEqual([]);
  });

  it('ends with status 3 where nobody has approved and it is not to wait', () => {
    const ended = run('--no-wait');
    expect(ended.status).toBe(3);
    expect(ended.stderr).toMatch(/^fleetroot: 0 of 2 approvals; waiting for 2 of alice, bob\nNothing was signed/);
  });

  it.each<[string, () => string[], RegExp]>([
    ['another\'s key', () => ['--statement', statement(sha, 'alice'), '--officer', 'alice', '--key', at('bob.key')], /this key is not the one of alice in the plan: nothing was signed/],
    ['a key without its passphrase', () => ['--statement', statement(sha, 'alice'), '--officer', 'alice', '--key', at('alice.key')], /passphrase/],
    ['another\'s statement', () => ['--statement', statement(sha, 'bob'), '--officer', 'alice', '--key', at('alice.key')], /is not the statement of alice/],
    ['a name that is no officer\'s', () => ['--statement', statement(sha, 'alice'), '--officer', 'mallory', '--key', at('alice.key')], /its officers are alice, bob, erin/],
    ['a signature of something else', () => ['--statement', statement(sha, 'bob'), '--officer', 'bob', '--signature', at('bob.pub')], /is not a signature of bob over this statement/],
  ])('takes no approval by %s', (_, parameters, message) => {
    const refused = approve(...parameters());
    expect(refused.stderr).toMatch(message);
    expect(refused.status).toBeGreaterThan(0);
    expect(readdirSync(join(ceremony, 'approvals')).filter((name) => name.endsWith('.json'))).toEqual([`${sha}.json`]);
  });

  it('does not count the approval of whoever holds it', () => {
    expect(approve('--statement', statement(sha, 'erin'), '--officer', 'erin', '--key', at('erin.key')).status).toBe(0);
    const approved = approve('--statement', statement(sha, 'alice'), '--officer', 'alice', '--key', at('alice.key'), '--passphrase-file', at('passphrase'));
    expect(approved.stdout).toContain(`SHA-256:  ${sha}`);
    expect(approved.status).toBe(0);
    const ended = run('--no-wait');
    expect(ended.status).toBe(3);
    expect(ended.stderr).toMatch(/1 of 2 approvals: alice; waiting for one of bob; not counted: erin: holds this ceremony, and nobody approves their own/);
  });

  /** A run in the background, once it says that it waits. */
  async function waiting(): Promise<{ said: () => string; end: Promise<number | null>; kill: (signal: NodeJS.Signals) => void }> {
    const child = spawn(process.execPath, [MAIN, 'ceremony', 'run', at('plan.yaml'), ...tokenFlags(), '--by', 'erin'], { env: { ...process.env, ...environment() }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const end = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (data: Buffer) => {
          said += data.toString();
          if (said.includes('waiting for one of bob')) resolve();
        });
      }
      void end.then((status) => reject(new Error(`it ended with ${status}:\n${said}`)));
    });
    return { said: () => said, end, kill: (signal) => child.kill(signal) };
  }

  it('waits, keeps others out meanwhile, and can be broken off', { timeout: 60_000 }, async () => {
    const waits = await waiting();
    expect(run('--no-wait')).toMatchObject({ status: 1, stderr: expect.stringMatching(/is running on this data folder already/) });
    // By way of the data folder it is the same folder.
    expect(fleetroot(['ceremony', 'run', at('plan.yaml'), ...tokenFlags().slice(2), '--data-dir', place, '--no-wait'], environment()))
      .toMatchObject({ status: 1, stderr: expect.stringMatching(/is running on this data folder already/) });
    waits.kill('SIGINT');
    expect(await waits.end).toBe(3);
    expect(waits.said()).toContain('Give the same command again to go on');
    expect((JSON.parse(run('--dry-run', '--json').stdout) as { sha256: string }).sha256).toBe(sha);
  });

  it('goes on when the second officer has signed with openssl alone', { timeout: 60_000 }, async () => {
    const waits = await waiting();
    openssl(['pkeyutl', '-sign', '-rawin', '-inkey', at('bob.key'), '-in', statement(sha, 'bob'), '-out', at('bob.sig')]);
    expect(approve('--statement', statement(sha, 'bob'), '--officer', 'bob', '--signature', at('bob.sig')).status).toBe(0);
    expect(await waits.end).toBe(0);
    expect(waits.said()).toMatch(/2 of 2 approvals: alice, bob/);
    const file = (name: string): string => join(ceremony, name);
    expect(openssl(['verify', '-x509_strict', '-check_ss_sig', '-CAfile', file('test-root.pem'), file('test-issuing.pem')])).toContain('OK');
    const [crl] = readdirSync(ceremony).filter((name) => name.endsWith('.crl'));
    openssl(['crl', '-inform', 'DER', '-in', file(crl ?? ''), '-CAfile', file('test-root.pem'), '-noout']);
  });

  it('changes nothing when it is held again', () => {
    const before = readdirSync(ceremony, { recursive: true }).sort();
    const again = run('--no-wait');
    expect(again).toMatchObject({ status: 0, stdout: 'Nothing was signed: all of the plan is on record (fleetroot ceremony show)\n' });
    expect(readdirSync(ceremony, { recursive: true }).sort()).toEqual(before);
  });

  describe('and is verified later', () => {
    const verify = (where: string, ...parameters: string[]): Outcome => fleetroot(['ceremony', 'verify', where, ...parameters]);
    const transcript = 'transcripts/0001.json';
    let copies = 0;

    /** A copy of the folder, damaged. */
    function damaged(damage: (file: (name: string) => string) => void): string {
      const copy = at(`copy-${++copies}`);
      cpSync(ceremony, copy, { recursive: true });
      damage((name) => join(copy, name));
      return copy;
    }

    function flip(path: string, position: number): void {
      const content = readFileSync(path);
      const index = Math.floor(position * (content.length - 1));
      content[index] = (content[index] ?? 0) ^ 1;
      writeFileSync(path, content);
    }

    it('holds, also against what the witnesses took home', () => {
      const told = JSON.parse(verify(ceremony, '--json').stdout) as { holds: boolean; ceremonyKeys: string[]; transcripts: { sha256: string; by: string; approvals: string[] }[] };
      expect(told).toMatchObject({ holds: true, transcripts: [{ by: 'erin', approvals: ['alice', 'bob'], sha256: sha256(join(ceremony, transcript)) }] });
      const [key = ''] = told.ceremonyKeys;
      expect(verify(ceremony, '--key', key.toUpperCase(), '--transcript', told.transcripts[0]?.sha256 ?? '')).toMatchObject({ status: 0, stdout: expect.stringContaining('every hash, signature and approval was checked') });
      expect(verify(ceremony, '--key', 'ab'.repeat(32))).toMatchObject({ status: 3, stdout: expect.stringMatching(/which is not the one you name/) });
      expect(verify(ceremony, '--transcript', 'ab'.repeat(32)).status).toBe(3);
      expect(verify(ceremony, '--key', 'no hash').status).toBe(2);
    });

    // Every octet of a transcript is changed in libs/authority/test/ceremony-transcript.test.ts; here a sample of them.
    it.each([0, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1])('finds a changed octet %d into the transcript', (position) => {
      const found = verify(damaged((file) => flip(file(transcript), position)));
      expect(found).toMatchObject({ status: 3, stdout: expect.stringMatching(/DO NOT HOLD: transcripts\/0001\.json: /) });
    });

    it.each<[string, (file: (name: string) => string) => void, RegExp]>([
      ['a certificate exchanged for another', (file) => copyFileSync(file('test-root.cer'), file('test-issuing.cer')), /test-issuing\.cer: it is not the one that the transcript tells of/],
      ['an octet of a certificate changed', (file) => flip(file('test-root.cer'), 0.5), /test-root\.cer: it is not the one/],
      ['a PEM that is another than its DER', (file) => copyFileSync(file('test-root.pem'), file('test-issuing.pem')), /test-issuing\.pem: it is not test-issuing\.cer as PEM/],
      ['a certificate missing', (file) => rmSync(file('test-issuing.cer')), /test-issuing\.cer: it is missing/],
      ['the transcript missing', (file) => rmSync(file(transcript)), /test-root\.cer: no transcript tells of it/],
      ['everything missing', (file) => rmSync(file(''), { recursive: true }), /holds no transcript/],
      ['ceremony.json damaged', (file) => flip(file('ceremony.json'), 0), /ceremony\.json is damaged/],
    ])('finds %s', (_, damage, message) => {
      const copy = damaged(damage);
      expect(verify(copy)).toMatchObject({ status: 3, stdout: expect.stringMatching(message) });
      expect(JSON.parse(verify(copy, '--json').stdout)).toMatchObject({ holds: false, what: expect.stringMatching(message) });
    });
  });
});

describe('docs/ceremonies.md: an offline root over two tokens, its issuing CA, and their next generation', () => {
  let dataDir: string;
  let place: string;

  beforeAll(() => {
    dataDir = join(folder, 'data');
    place = join(folder, 'docs');
    mkdirSync(place);
    expect(fleetroot(['init', '--data-dir', dataDir])).toMatchObject({ status: 0 });
  }, 60_000);

  const json = (...parameters: string[]): unknown => JSON.parse(fleetroot([...parameters, '--json', '--data-dir', dataDir]).stdout);

  it('has commands that run', { timeout: 240_000 }, () => {
    const text = readFileSync(join(ROOT, 'docs/ceremonies.md'), 'utf8');
    const blocks = [...text.matchAll(/<!-- run -->\n```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThan(10);
    const ran = spawnSync('bash', ['-euc', blocks.join('\n')], { cwd: place, encoding: 'utf8', timeout: 230_000, env: { ...process.env, FLEETROOT: ROOT, DATA: dataDir } });
    expect(ran.status, `${ran.stdout}\n${ran.stderr}`).toBe(0);
  });

  it('leaves these CAs on record, each change in the audit log', { timeout: 60_000 }, () => {
    const listed = json('ca', 'list') as { name: string; issuer: string | null; state: string; keyOnline: boolean; labels: object; successor: string | null; notAfter: string }[];
    const facts = (name: string): unknown => {
      const ca = listed.find((each) => each.name === name);
      return ca && { issuer: ca.issuer, state: ca.state, keyOnline: ca.keyOnline, successor: ca.successor };
    };
    expect(facts('example-root')).toEqual({ issuer: null, state: 'active', keyOnline: false, successor: 'example-root-g2' });
    expect(facts('plant-7')).toEqual({ issuer: 'example-root', state: 'active', keyOnline: true, successor: null });
    expect(facts('example-root-g2')).toEqual({ issuer: null, state: 'prepared', keyOnline: false, successor: null });
    expect(facts('plant-7-g2')).toEqual({ issuer: 'example-root', state: 'prepared', keyOnline: true, successor: null });
    expect(listed.find(({ name }) => name === 'plant-7')?.labels).toEqual({ plant: 'Plant 7', brand: 'Example' });
    // The renewed certificate of the root took the place of the first one.
    expect(listed.find(({ name }) => name === 'example-root')?.notAfter.slice(0, 4)).toBe(String(new Date().getUTCFullYear() + 40));
    expect(fleetroot(['audit', 'verify', '--data-dir', dataDir])).toMatchObject({ status: 0 });
  });

  it.each<[string, string[], number, RegExp]>([
    ['a step that its state does not allow', ['state', 'plant-7', 'retired'], 1, /is active and cannot become retired: it can become retiring/],
    ['a step to the state it is in', ['state', 'plant-7', 'active'], 0, /plant-7 is active already/],
    ['a state that comes by revocation alone', ['state', 'plant-7', 'compromised'], 2, /Allowed choices are active, retiring, retired/],
    ['a CA that nobody knows', ['state', 'plant-8', 'active'], 1, /fleetroot: /],
    ['a successor that is active itself', ['succeed', 'plant-7', '--by', 'ecu-issuing', '--at', 'now'], 1, /only a prepared one can follow/],
    ['a time that is none', ['succeed', 'plant-7', '--by', 'plant-7-g2', '--at', 'tomorrow'], 2, /--at takes a time with its offset/],
    ['half of what it needs', ['succeed', 'plant-7', '--by', 'plant-7-g2'], 2, /give --by and --at, or --never alone/],
    ['a certificate that is none', ['import', '--certificate', '/etc/hostname', '--name', 'x'], 1, /fleetroot: /],
    ['a principal that is none', ['import', '--as', 'nobody'], 2, /--as takes the name of a principal/],
  ])('answers where `fleetroot ca` is asked for %s', { timeout: 30_000 }, (_, parameters, status, message) => {
    const answer = fleetroot(['ca', ...parameters, '--data-dir', dataDir]);
    expect(`${answer.stdout}${answer.stderr}`).toMatch(message);
    expect(answer.status).toBe(status);
  });

  it('takes a certificate that was signed elsewhere, and finds its key by the request', { timeout: 60_000 }, () => {
    const plan = join(place, 'request-8.yaml');
    writeFileSync(plan, ['ceremony: A key for plant 8', 'requests:', '  - { name: plant-8, key: p-256, subject: { commonName: Plant 8 } }', ''].join('\n'));
    expect(fleetroot(['ceremony', 'run', plan, '--data-dir', dataDir])).toMatchObject({ status: 0 });
    const at = (name: string): string => join(place, name);
    openssl(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes', '-keyout', at('foreign.key'), '-out', at('foreign.pem'), '-subj', '/CN=A root of somebody else',
      '-days', '3650', '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']);
    writeFileSync(at('ca.ext'), ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash', 'authorityKeyIdentifier=keyid', ''].join('\n'));
    openssl(['x509', '-req', '-in', join(dataDir, 'ceremony/plant-8.csr'), '-CA', at('foreign.pem'), '-CAkey', at('foreign.key'), '-days', '1000', '-sha384', '-extfile', at('ca.ext'), '-out', at('plant-8.pem')]);
    const alone = fleetroot(['ca', 'import', '--certificate', at('plant-8.pem'), '--data-dir', dataDir]);
    expect(alone).toMatchObject({ status: 1, stderr: expect.stringMatching(/its issuer .*A root of somebody else.* is not on record/) });
    const imported = fleetroot(['ca', 'import', '--certificate', at('plant-8.pem'), '--issuer-certificate', at('foreign.pem'), '--issuer-name', 'somebody', '--state', 'prepared', '--json', '--data-dir', dataDir]);
    expect(JSON.parse(imported.stdout)).toEqual([
      { name: 'somebody', state: 'prepared', what: 'issuer, its key is elsewhere' }, { name: 'plant-8', state: 'prepared', what: 'its key was made in a ceremony here' },
    ]);
    expect(fleetroot(['ca', 'state', 'plant-8', 'active', '--data-dir', dataDir])).toMatchObject({ status: 1, stderr: expect.stringMatching(/cannot become active: it has no current CRL yet/) });
  });

  describe('in the installation that runs', () => {
    let product: Product;
    beforeAll(async () => {
      product = await startProduct({ dataDir, keep: true });
    }, 180_000);
    afterAll(() => product?.stop());

    it('issues by the CA that the ceremony made', { timeout: 60_000 }, async () => {
      openssl(['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(place, 'ecu.key'), '-subj', '/CN=ecu', '-out', join(place, 'ecu.csr')]);
      const token = readFileSync(join(dataDir, 'secrets/plant-7-line.token'), 'utf8').trim();
      const asked = { ca: 'plant-7', profile: 'ecu-client', ecuSerial: 'TCU-PLANT-7', partNumber: '8V0-035-285', csr: readFileSync(join(place, 'ecu.csr'), 'utf8') };
      const answer = await product.fetch('POST', '/v1/certificates', undefined, { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify(asked));
      const body = await answer.text();
      expect([answer.status, body]).toEqual([201, expect.anything()]);
      writeFileSync(join(place, 'ecu.pem'), (JSON.parse(body) as { certificate: string }).certificate);
      const ceremony = join(place, 'root/ceremony');
      expect(openssl(['verify', '-x509_strict', '-CAfile', join(ceremony, 'example-root.pem'), '-untrusted', join(ceremony, 'plant-7.pem'), join(place, 'ecu.pem')])).toContain('OK');
    });

    it('activates a CA that was prepared, once it has a CRL', { timeout: 90_000 }, async () => {
      await until(async () => (await fetch(`${product.status}/crl/plant-8.crl`)).ok, 60_000, () => `plant-8 never got a CRL\n${product.output()}`);
      expect(fleetroot(['ca', 'state', 'plant-8', 'active', '--data-dir', dataDir])).toMatchObject({ status: 0, stdout: 'plant-8 was prepared and is active\n' });
    });

    it('refuses a ceremony on its data folder meanwhile, and is told of CAs', () => {
      expect(fleetroot(['ceremony', 'run', join(place, 'request.yaml'), '--data-dir', dataDir])).toMatchObject({ status: 1, stderr: expect.stringMatching(/is running on this data folder already/) });
      expect(fleetroot(['ca', 'succeed', 'plant-7', '--by', 'plant-7-g2', '--at', '2031-01-01T00:00:00Z', '--data-dir', dataDir])).toMatchObject({ status: 0, stdout: 'plant-7-g2 follows plant-7 at 2031-01-01T00:00:00.000Z\n' });
    });
  });
});
