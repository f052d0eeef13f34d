// A refused PIN: one try, and no other until a person has put it right; what needs no PIN goes on.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accepted, done, kill, lines } from '../support/faults.ts';
import { openFolder } from '../support/folder.ts';
import { recordedCalls, recordingModule } from '../support/hsm-record.ts';
import { type Product, startProduct, until } from '../support/product.ts';

let dataDir: string;
let record: string;
let module: string | undefined;
let product: Product | undefined;
const start = (issuers: number): Promise<Product> =>
  startProduct({ dataDir, keep: true, issuers, arguments: ['--set', `FLEETROOT_HSM_MODULE=${module ?? ''}`] });
const forget = (): void => { for (const name of readdirSync(record)) if (name.endsWith('.log')) rmSync(join(record, name)); };
const pinFile = (): string => join(dataDir, 'secrets/ca-token.pin');

beforeAll(async () => {
  dataDir = openFolder('fleetroot-pin-');
  record = join(dataDir, 'record');
  module = recordingModule(record);
  if (!existsSync('/usr/bin/pkcs11-tool')) module = undefined;
  if (module !== undefined) product = await start(1);
}, 300_000);
afterAll(async () => {
  await product?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** Gives the token another user PIN than the one in the file; the running issuer is logged in by the old one. */
function changePin(from: string, to: string): void {
  execFileSync('pkcs11-tool', ['--module', '/usr/lib/softhsm/libsofthsm2.so', '--token-label', 'fleetroot-ca', '--login', '--pin', from, '--change-pin', '--new-pin', to], {
    env: { ...process.env, SOFTHSM2_CONF: join(dataDir, 'softhsm/ca/softhsm2.conf') }, stdio: 'pipe',
  });
}

test('refused at a re-login: one C_Login, the issuer ends for good, the other roles go on', async (context) => {
  if (product === undefined) return context.skip('opensc, opensc-pkcs11 or a compiler is missing');
  const running = product;
  const old = readFileSync(pinFile(), 'utf8').trim();
  changePin(old, `${old}x`);
  forget();
  kill(running, 'hsm');
  await until(async () => running.output().includes('It is not started again'), 60_000, () => running.output().slice(-4000));
  expect(running.output()).toMatch(/issuer-1 ended: fleetroot issuer: hsm\.pin-incorrect.*Put the right PIN into its file/);
  await sleep(5000);
  expect(recordedCalls(record, 'C_Login')).toBe(1);
  expect((await fetch(`${running.status}/readyz`)).status).toBe(200);
  expect((await fetch(`${running.status}/crl/ecu-issuing.crl`)).status).toBe(200);
  const { body } = await running.json('GET', '/readyz', undefined);
  expect(body.checks).toMatchObject({ database: { ready: true } });
  expect(await running.stop()).toBe(0);
  product = undefined;
  expect(running.output()).not.toContain(old);
});

test('wrong from the start: `up` tries it once, starts no issuer, and ends with 77', async (context) => {
  if (module === undefined) return context.skip('opensc, opensc-pkcs11 or a compiler is missing');
  await product?.stop();
  product = undefined;
  forget();
  await expect(start(2)).rejects.toThrow(/fleetroot up ended with 77:[^]*ca-token\.pin does not hold the PIN of the token "fleetroot-ca": restore the file/);
  // `up` asks the token by itself, past the record; no issuer did.
  expect(recordedCalls(record, 'C_Login')).toBe(0);
});

test('put right, everything goes on', async (context) => {
  if (module === undefined) return context.skip('opensc, opensc-pkcs11 or a compiler is missing');
  writeFileSync(pinFile(), `${readFileSync(pinFile(), 'utf8').trim()}x`, { mode: 0o600 });
  product = await start(2);
  await done(product, await accepted(product, 'pin', await lines('PIN', 20)));
});
