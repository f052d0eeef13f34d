import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type PkiError, toHex } from '@fleetroot/core';
import { openSigner, type Signer, type SignerOptions } from '@fleetroot/hsm';
import { verifySignature } from '@fleetroot/x509';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { clientModule, HsmServer } from '../support/hsm-server.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

type Key = Awaited<ReturnType<TestToken['generateKey']>>;

let token: TestToken;
let key: Key;
/** Undone after the test, the last one first. */
const undo: (() => unknown)[] = [];

beforeEach(async () => {
  token = await makeToken();
  undo.push(() => token.remove());
  key = await token.generateKey('p-256', 'ecu-issuing');
});

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

async function open(options: Partial<SignerOptions> = {}): Promise<Signer> {
  const { module, tokenLabel, pin, softhsmConf } = token;
  const signer = await openSigner({ module, tokenLabel, pin, softhsmConf, deadlineMs: 1500, sessionCopies: 'never', keys: [key], ...options });
  undo.push(() => signer.close());
  return signer;
}

const message = new Uint8Array(100).fill(7);
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** The object files of the token, by path. */
function objects(): string[] {
  return readdirSync(join(token.dir, 'tokens'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.object')).map((name) => join(token.dir, 'tokens', name));
}

/**
 * Damages the end of one attribute of an object and nothing else. In SoftHSM's files an attribute is its type, its kind
 * (3: octets) and its length, 64 bits each, then its value.
 */
function damage(file: string, type: number): boolean {
  const octets = readFileSync(file);
  const at = octets.indexOf(Buffer.from(`${type.toString(16).padStart(16, '0')}0000000000000003`, 'hex'));
  if (at < 0) return false;
  const end = at + 24 + Number(octets.readBigUInt64BE(at + 16));
  for (let i = end - 16; i < end; i++) octets[i] = (octets[i] ?? 0) ^ 0xa5;
  writeFileSync(file, octets);
  return true;
}

it('serves a call that is made in any moment after another was rejected', async () => {
  const signer = await open();
  const tokens = join(token.dir, 'tokens');
  for (let turns = 0; turns < 8; turns++) {
    await rename(tokens, `${tokens}-away`);
    const sign = (): Promise<string> => signer.sign(key.keyId, 'ecdsa-sha256', [message]).then(() => 'signed', ({ code }: PkiError) => code);
    expect(await sign()).toBe('hsm.unavailable');
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    const settled = await Promise.race([sign(), pause(2000, 'never', { ref: false })]);
    expect(settled, `after ${turns} turns`).not.toBe('never');
    await rename(`${tokens}-away`, tokens);
    await expect.poll(sign, { timeout: 5000 }).toBe('signed');
  }
}, 60_000);

it('leaves no timer behind that would keep its process alive, though it is closed while the HSM hangs', async () => {
  const server = new HsmServer(token);
  await server.start();
  process.env['P11_KIT_SERVER_ADDRESS'] = server.address;
  undo.push(async () => {
    delete process.env['P11_KIT_SERVER_ADDRESS'];
    await server.kill();
  });
  const before = timers();
  const signer = await open({ module: clientModule, sessions: 2, probeMs: 200, patienceMs: 5000 });
  await pause(100);
  server.hang();
  const calls = Array.from({ length: 4 }, () => signer.sign(key.keyId, 'ecdsa-sha256', [message]).then(() => 'signed', () => 'failed'));
  await pause(100);
  const began = performance.now();
  await signer.close();
  expect(performance.now() - began).toBeLessThan(5000);
  expect(await Promise.all(calls)).toEqual(Array.from({ length: 4 }, () => 'failed'));
  await pause(300);
  expect(timers()).toBe(before);
});

it.each([
  ['value of the private key', 0x11, 'hsm.mechanism-missing'],
  ['point of the public key', 0x181, 'hsm.key-mismatch'],
])('signs on with the other keys where the %s of one is damaged', async (_, attribute, code) => {
  const before = objects();
  const bad = await token.generateKey('p-256', 'damaged');
  expect(objects().filter((file) => !before.includes(file)).filter((file) => damage(file, attribute))).toHaveLength(1);
  for (const keys of [[bad, key], [key, bad]]) {
    const told: string[] = [];
    const states: string[] = [];
    const signer = await open({
      keys, sessionCopies: 'try', probeMs: 100, patienceMs: 2000,
      onUnusableKey: (keyId, error) => told.push(`${toHex(keyId)} ${error.code}`), onState: (state) => states.push(state),
    });
    const [signature = new Uint8Array(0)] = await signer.sign(key.keyId, 'ecdsa-sha256', [message]);
    expect(verifySignature(key.spkiDer, 'ecdsa-sha256', message, signature)).toBe(true);
    await expect(signer.sign(bad.keyId, 'ecdsa-sha256', [message])).rejects.toMatchObject({ code, data: { attempted: 0 } });
    await pause(500);
    expect(told).toEqual([`${toHex(bad.keyId)} ${code}`]);
    expect(states).toEqual([]);
  }
});
