import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { type Product, startProduct } from '../support/product.ts';
import { opensslKeyAndRequest } from '../support/openssl.ts';

// A gateway as its operator sets it up: nginx with the truststore and the CRL bundle, as they come, in two files.
let product: Product;
let folder: string;
let port: number;
let nginx: ChildProcess | undefined;
const serials = new Map<string, string>();

beforeAll(async () => {
  product = await startProduct();
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-nginx-'));
  port = await freePort();
  for (const [name, body] of [
    ['gateway', { profile: 'gateway-server' }],
    ['good', { profile: 'ecu-client', ecuSerial: 'NGX-GOOD', partNumber: 'TCU-1' }],
    ['revoked', { profile: 'ecu-client', ecuSerial: 'NGX-REVOKED', partNumber: 'TCU-1' }],
  ] as const) {
    const csr = opensslKeyAndRequest(folder, name, 'localhost');
    const token = name === 'gateway' ? 'admin' : 'line';
    const issued = await product.json('POST', '/v1/certificates', token, { ...body, csr });
    expect(issued.status, JSON.stringify(issued.body)).toBe(201);
    writeFileSync(join(folder, `${name}.pem`), [issued.body.certificate, ...issued.body.chain].join(''));
    serials.set(name, issued.body.serial);
  }
}, 300_000);

afterAll(async () => {
  await stopNginx();
  await product?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

async function pullBundle(): Promise<void> {
  for (const [path, file] of [['ecu-clients', 'clients.pem'], ['ecu-clients/crls', 'crls.pem']] as const) {
    const response = await product.fetch('GET', `/v1/truststores/${path}`, 'gateway');
    expect(response.status).toBe(200);
    writeFileSync(join(folder, file), await response.text());
  }
}

async function startNginx(): Promise<void> {
  writeFileSync(join(folder, 'nginx.conf'), `
daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log info;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${folder}/gateway.pem; ssl_certificate_key ${folder}/gateway.key;
    ssl_client_certificate ${folder}/clients.pem; ssl_crl ${folder}/crls.pem;
    ssl_verify_client on; ssl_verify_depth 3;
    location / { return 200 "$ssl_client_verify $ssl_client_s_dn\\n"; }
  }
}`);
  nginx = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { stdio: 'ignore' });
  for (let tries = 0; tries < 100; tries++) {
    try {
      execFileSync('curl', ['-sk', '-o', '/dev/null', `https://127.0.0.1:${port}/`]);
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error('nginx did not start');
}

async function stopNginx(): Promise<void> {
  const child = nginx;
  nginx = undefined;
  if (child === undefined || child.exitCode !== null) return;
  await new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  });
}

/** What a client with that certificate gets: status line and body. The server is verified by the truststore as well. */
const asClient = (name: string): string =>
  execFileSync('curl', [
    '-s', '-w', '%{http_code}', '--cacert', join(folder, 'clients.pem'), '--resolve', `localhost:${port}:127.0.0.1`,
    '--cert', join(folder, `${name}.pem`), '--key', join(folder, `${name}.key`), `https://localhost:${port}/`,
  ], { encoding: 'utf8' });

test('nginx takes both files as they are and lets a good ECU in', async () => {
  await pullBundle();
  await startNginx();
  expect(asClient('good')).toMatch(/^SUCCESS .*NGX-GOOD.*\n200$/);
  expect(asClient('revoked')).toMatch(/^SUCCESS .*\n200$/);
});

test('after a revocation and a fresh bundle it keeps the revoked one out', async () => {
  const revoked = await product.json('POST', `/v1/certificates/${serials.get('revoked')}/revocation`, 'security', { reason: 'keyCompromise' });
  expect(revoked.status).toBe(200);
  await product.crlNames(serials.get('revoked') ?? '');
  await stopNginx();
  await pullBundle();
  await startNginx();
  expect(asClient('revoked')).toMatch(/400 Bad Request|SSL certificate error/);
  expect(asClient('good')).toMatch(/\n200$/);
});

test('a bundle is refused to who may not pull it, and tells whether it changed', async () => {
  expect((await product.fetch('GET', '/v1/truststores/ecu-clients', 'line')).status).toBe(403);
  const first = await product.fetch('GET', '/v1/truststores/ecu-clients', 'gateway');
  const etag = first.headers.get('etag') ?? '';
  expect(etag).toMatch(/^"/);
  expect((await product.fetch('GET', '/v1/truststores/ecu-clients', 'gateway', { 'if-none-match': etag })).status).toBe(304);
});
