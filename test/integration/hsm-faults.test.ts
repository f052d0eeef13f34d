import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { appendFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type PkiError, Secret, toHex } from '@fleetroot/core';
import { openSigner, type Signer, type SignerOptions } from '@fleetroot/hsm';
import { type SignatureAlgorithm, verifySignature } from '@fleetroot/x509';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordedCalls, recordedSignatures, recordingModule } from '../support/hsm-record.ts';
import { clientModule, HsmServer } from '../support/hsm-server.ts';
import { CKR, HsmShim } from '../support/hsm-shim.ts';
import { SigningLoad } from '../support/signing-load.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const run = promisify(execFile);

type Key = Awaited<ReturnType<TestToken['generateKey']>>;
type Options = Partial<SignerOptions> & Pick<SignerOptions, 'keys'>;

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

async function open(options: Options): Promise<Signer> {
  const { module, tokenLabel, pin, softhsmConf } = token;
  const signer = await openSigner({ module, tokenLabel, pin, softhsmConf, deadlineMs: 5000, sessionCopies: 'never', ...options });
  undo.push(() => signer.close());
  return signer;
}

/** The HSM as a process that can hang and die, reached through `clientModule`. */
async function startServer(): Promise<HsmServer> {
  const server = new HsmServer(token);
  await server.start();
  process.env['P11_KIT_SERVER_ADDRESS'] = server.address;
  undo.push(async () => {
    delete process.env['P11_KIT_SERVER_ADDRESS'];
    await server.kill();
  });
  return server;
}

/** A library that records what goes to `provider`. */
function recorder(provider?: string): { module: string; folder: string } {
  const folder = join(token.dir, 'record');
  const module = recordingModule(folder, provider);
  if (module === undefined) throw new Error('these tests need pkcs11-spy and a C compiler');
  return { module, folder };
}

const messages = (count: number): Uint8Array[] => Array.from({ length: count }, () => new Uint8Array(randomBytes(300)));
const digest = (message: Uint8Array, algorithm = 'sha256'): string => createHash(algorithm).update(message).digest('hex');
const logins = (folder: string): number => recordedCalls(folder, 'C_Login', 'other');
const caught = (promise: Promise<unknown>): Promise<PkiError> =>
  promise.then(() => { throw new Error('it succeeded'); }, (error: PkiError) => error);

/** How often each of the messages went into C_Sign: the counts that occur. */
function timesSigned(folder: string, digests: readonly string[]): number[] {
  const recorded = recordedSignatures(folder, 'other');
  return [...new Set(digests.map((each) => recorded.get(each) ?? 0))].sort((a, b) => a - b);
}

/** States that a signer told, with the time. */
function states(): { told: { state: string; at: number }[]; onState: (state: 'ready' | 'away') => void; since: (at: number, state: string) => number | undefined } {
  const told: { state: string; at: number }[] = [];
  return {
    told,
    onState: (state) => told.push({ state, at: performance.now() }),
    since: (at, state) => told.find((each) => each.at >= at && each.state === state)?.at,
  };
}

async function tokenAway(milliseconds: number): Promise<void> {
  const tokens = join(token.dir, 'tokens');
  await rename(tokens, `${tokens}-away`);
  await pause(milliseconds);
  await rename(`${tokens}-away`, tokens);
}

describe('under load', () => {
  it.each(['never', 'try'] as const)('a token that goes and comes back ten times costs time only (session copies: %s)', async (sessionCopies) => {
    const { module, folder } = recorder();
    const seen = states();
    const signer = await open({ module, keys: [key], sessionCopies, sessions: 2, patienceMs: 20_000, probeMs: 100, onState: seen.onState });
    const load = new SigningLoad(signer, key, 10);
    for (let i = 0; i < 10; i++) {
      await pause(400);
      await tokenAway(250);
    }
    await pause(500);
    await load.stop();
    console.log(`token away ten times, copies ${sessionCopies}: ${load.signed} signed, longest call ${load.longest.toFixed(0)} ms, told ${seen.told.length} times; ${load.failures.slice(0, 3).map(({ error }) => error.message)}`);
    expect(load.failures).toEqual([]);
    expect(load.wrong).toBe(0);
    expect(load.signed).toBeGreaterThan(1000);
    expect(timesSigned(folder, load.digests)).toEqual([1]);
    expect(load.longest).toBeLessThan(15_000);
    // SoftHSM's session copies live in the memory of its process and sign on without the token's folder; the probes notice.
    expect(seen.told.length).toBeGreaterThanOrEqual(4);
  });

  it('a killed HSM loses only what was in its hands, and works 5 s after it is back at the latest', async () => {
    const server = await startServer();
    const { module, folder } = recorder(clientModule);
    const signer = await open({ module, keys: [key], sessions: 2, patienceMs: 20_000 });
    const load = new SigningLoad(signer, key);
    const recovered: number[] = [];
    for (let i = 0; i < 3; i++) {
      await pause(400);
      await server.kill();
      await pause(700);
      await server.start();
      const back = performance.now();
      await expect.poll(() => load.lastSuccess, { timeout: 15_000, interval: 20 }).toBeGreaterThan(back);
      recovered.push(load.lastSuccess - back);
    }
    await load.stop();
    console.log(`killed three times: ${load.signed} signed, ${load.failures.length} of ${load.calls} calls failed, recovered after ${recovered.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    expect(Math.max(...recovered)).toBeLessThan(5000);
    expect(load.wrong).toBe(0);
    // A frame in the work of each of two sessions, three times.
    expect(load.failures.length).toBeLessThanOrEqual(6);
    expect(load.failures.every(({ error, attempted }) => error.retry === 'later' && attempted > 0)).toBe(true);
    expect(Math.max(...timesSigned(folder, load.digests))).toBe(1);
  });

  it('a hanging HSM leaves the event loop alone, and the deadline frees the callers', async () => {
    const server = await startServer();
    const { module, folder } = recorder(clientModule);
    const seen = states();
    const signer = await open({ module, keys: [key], deadlineMs: 1000, patienceMs: 20_000, onState: seen.onState });
    const load = new SigningLoad(signer, key, 3);
    await pause(500);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    server.hang();
    const hung = performance.now();
    delay.enable();
    await pause(4000);
    delay.disable();
    const p99 = delay.percentile(99) / 1e6 - 5;
    server.resume();
    const back = performance.now();
    await expect.poll(() => load.lastSuccess, { timeout: 15_000, interval: 20 }).toBeGreaterThan(back);
    const recovered = load.lastSuccess - back;
    await pause(200);
    await load.stop();
    console.log(`hanging HSM: event-loop delay p99 ${p99.toFixed(1)} ms, most ${(delay.max / 1e6 - 5).toFixed(1)} ms; recovered after ${recovered.toFixed(0)} ms; ${load.failures.length} calls failed`);
    expect(p99).toBeLessThan(250);
    expect(recovered).toBeLessThan(5000);
    expect(seen.since(hung, 'away')).toBeDefined();
    expect(load.wrong).toBe(0);
    // One frame was in the work of the one session.
    expect(load.failures).toHaveLength(1);
    expect(load.failures[0]).toMatchObject({ error: { code: 'hsm.deadline' } });
    expect(load.failures[0]!.at - hung).toBeLessThan(5000);
    expect(Math.max(...timesSigned(folder, load.digests))).toBe(1);
  });
});

describe('a C_Sign whose outcome nobody knows', () => {
  it('is not repeated: an HSM killed in the middle of RSA-4096', async () => {
    const slow = await token.generateKey('rsa-4096');
    const server = await startServer();
    const { module, folder } = recorder(clientModule);
    const signer = await open({ module, keys: [slow], sessions: 2, patienceMs: 10_000 });
    const tbs = messages(250);
    const first = caught(signer.sign(slow.keyId, 'rsa-pss-sha256', tbs));
    // On a busy machine a while goes by before the first: killed sooner, nothing is in doubt, and all of it is signed.
    await expect.poll(() => tbs.some((message) => recordedSignatures(folder, 'other').has(digest(message))), { timeout: 20_000, interval: 20 }).toBe(true);
    await server.kill();
    await pause(300);
    await server.start();
    const failure = await first;
    const attempted = Number(failure.data['attempted']);
    expect(failure).toMatchObject({ code: 'hsm.unavailable', retry: 'later' });
    expect(attempted).toBeGreaterThan(0);
    // Two sessions with two frames of 32 each, and what was done before.
    expect(attempted).toBeLessThan(250);
    const recorded = recordedSignatures(folder, 'other');
    const given = tbs.map((message) => recorded.get(digest(message)) ?? 0);
    expect(Math.max(...given)).toBe(1);
    expect(given.slice(attempted)).toEqual(Array(250 - attempted).fill(0));

    // The rest is signed by the sessions that took the place of the lost ones.
    const rest = tbs.slice(attempted);
    const signatures = await signer.sign(slow.keyId, 'rsa-pss-sha256', rest);
    expect(rest.every((message, i) => verifySignature(slow.spkiDer, 'rsa-pss-sha256', message, signatures[i]!))).toBe(true);
    expect(timesSigned(folder, rest.map((message) => digest(message)))).toEqual([1]);
  });

  it('is not repeated: the HSM signs and says that it failed', async () => {
    const shim = new HsmShim(token.dir, token.module);
    const { module, folder } = recorder(shim.module);
    const signer = await open({ module, keys: [key], patienceMs: 10_000 });
    const tbs = messages(100);
    shim.failSign(CKR.CKR_DEVICE_ERROR);
    expect(await caught(signer.sign(key.keyId, 'ecdsa-sha256', tbs))).toMatchObject({
      code: 'hsm.unavailable', message: expect.stringContaining('CKR_DEVICE_ERROR'), data: { attempted: 1 },
    });
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', tbs.slice(1))).resolves.toHaveLength(99);
    expect(timesSigned(folder, tbs.map((message) => digest(message)))).toEqual([1]);
  });
});

describe('healing', () => {
  it('makes a session or key that is lost before a signature a delay and nothing else', async () => {
    const shim = new HsmShim(token.dir, token.module);
    const { module, folder } = recorder(shim.module);
    const signer = await open({ module, keys: [key] });
    const given: string[] = [];
    for (const [name, value] of Object.entries(CKR)) {
      const tbs = messages(100);
      given.push(...tbs.map((message) => digest(message)));
      const before = logins(folder);
      // No patience: the session is opened anew once, at once.
      shim.failSignInit(value);
      const signatures = await signer.sign(key.keyId, 'ecdsa-sha256', tbs);
      expect([name, shim.done, logins(folder) - before]).toEqual([name, true, 1]);
      expect(tbs.every((message, i) => verifySignature(key.spkiDer, 'ecdsa-sha256', message, signatures[i]!))).toBe(true);
    }
    expect(timesSigned(folder, given)).toEqual([1]);
  });

  it('finds an idle session lost and the HSM back without being asked, and without a signature', async () => {
    const server = await startServer();
    const { module, folder } = recorder(clientModule);
    const seen = states();
    const signer = await open({ module, keys: [key], sessions: 2, probeMs: 200, deadlineMs: 1000, onState: seen.onState });
    const signed = (): number => recordedCalls(folder, 'C_Sign', 'other');
    const atStart = signed();
    await pause(1500);
    expect(recordedCalls(folder, 'C_GetSessionInfo', 'other')).toBeGreaterThan(4);
    expect(signed()).toBe(atStart);
    expect(seen.told).toEqual([]);

    const killed = performance.now();
    await server.kill();
    await expect.poll(() => seen.since(killed, 'away'), { timeout: 5000 }).toBeDefined();
    await pause(2000);
    await server.start();
    const back = performance.now();
    await expect.poll(() => seen.since(back, 'ready'), { timeout: 10_000, interval: 20 }).toBeDefined();
    const afterKill = seen.since(back, 'ready')! - back;

    server.hang();
    await expect.poll(() => seen.since(performance.now() - 2500, 'away'), { timeout: 5000 }).toBeDefined();
    await pause(3000);
    server.resume();
    const resumed = performance.now();
    await expect.poll(() => seen.since(resumed, 'ready'), { timeout: 10_000, interval: 20 }).toBeDefined();
    const afterHang = seen.since(resumed, 'ready')! - resumed;
    console.log(`idle: ready ${afterKill.toFixed(0)} ms after a restart, ${afterHang.toFixed(0)} ms after a hang`);
    expect(Math.max(afterKill, afterHang)).toBeLessThan(5000);
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(64))).resolves.toHaveLength(64);
  });

  it('waits no longer than its patience, and nothing was attempted then', async () => {
    const server = await startServer();
    const signer = await open({ module: clientModule, keys: [key], patienceMs: 1500 });
    await server.kill();
    // What is in hand when the loss is noticed may have been attempted; what comes later was not.
    await caught(signer.sign(key.keyId, 'ecdsa-sha256', messages(1)));
    const began = performance.now();
    expect(await Promise.all([
      caught(signer.sign(key.keyId, 'ecdsa-sha256', messages(100))), caught(signer.sign(key.keyId, 'ecdsa-sha256', messages(1))), caught(signer.ready()),
    ])).toEqual(Array(3).fill(expect.objectContaining({ code: 'hsm.unavailable', data: { attempted: 0 } })));
    expect(performance.now() - began).toBeGreaterThan(1400);
    expect(performance.now() - began).toBeLessThan(6000);
    await server.start();
    await expect(signer.ready()).resolves.toBeUndefined();
  });
});

describe('the PIN', () => {
  it('that is wrong costs one C_Login, however many sessions were asked for', async () => {
    const { module, folder } = recorder();
    expect(await caught(open({ module, keys: [key], sessions: 3, probeMs: 50, patienceMs: 5000, pin: new Secret('wrong-wrong-wrong') })))
      .toMatchObject({ code: 'hsm.pin-incorrect', retry: 'stop' });
    await pause(1000);
    expect(logins(folder)).toBe(1);
  });

  it('that changed under an open pool costs one C_Login more, under load and probes', async () => {
    const { module, folder } = recorder();
    const seen = states();
    const signer = await open({ module, keys: [key], sessions: 3, probeMs: 100, patienceMs: 5000, onState: seen.onState });
    expect(logins(folder)).toBe(3);
    const other = await makeToken(token.tokenLabel);
    undo.push(() => other.remove());
    const load = new SigningLoad(signer, key);
    const tokens = join(token.dir, 'tokens');
    await rename(tokens, `${tokens}-away`);
    await rename(join(other.dir, 'tokens'), tokens);
    await pause(2500);
    await load.stop();
    expect(new Set(load.failures.map(({ error }) => error.code))).toEqual(new Set(['hsm.pin-incorrect']));
    expect(await caught(signer.ready())).toMatchObject({ code: 'hsm.pin-incorrect' });
    expect(logins(folder)).toBe(4);
    expect(seen.told.map(({ state }) => state)).toEqual(['away']);
  });

  it.each([['CKF_USER_PIN_FINAL_TRY', 0x20000], ['CKF_USER_PIN_LOCKED', 0x40000]])('is not tried where the token says %s', async (_, flag) => {
    // SoftHSM counts no wrong PINs, so the flag is set on its way.
    const shim = new HsmShim(token.dir, token.module);
    const { module, folder } = recorder(shim.module);
    shim.tokenFlags(flag);
    const refused = await caught(open({ module, keys: [key], sessions: 2 }));
    expect(refused).toMatchObject({ code: 'hsm.pin-incorrect', retry: 'stop', message: expect.stringMatching(/lock/) });
    expect(logins(folder)).toBe(0);
    shim.tokenFlags(0);
    await expect(open({ module, keys: [key], sessions: 2 })).resolves.toBeDefined();
  });
});

describe('keys', () => {
  /** The PIN of a throw-away token may stand in an argument. */
  const pkcs11Tool = (...argumentsOfTool: string[]): Promise<unknown> =>
    run('pkcs11-tool', ['--module', token.module, '--token-label', token.tokenLabel, '--login', '--pin', token.pin.reveal(), ...argumentsOfTool], {
      env: { ...process.env, SOFTHSM2_CONF: token.softhsmConf },
    });

  async function replaceKey(): Promise<void> {
    const id = toHex(key.keyId);
    for (const type of ['privkey', 'pubkey']) await pkcs11Tool('--delete-object', '--type', type, '--id', id);
    await pkcs11Tool('--keypairgen', '--key-type', 'EC:prime256v1', '--id', id, '--label', 'ecu-issuing', '--sensitive');
  }

  it('replaced under its CKA_ID is found out by the next probe and ends the signer', async () => {
    const signer = await open({ keys: [key], sessionCopies: 'try', probeMs: 200, patienceMs: 2000 });
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(40))).resolves.toHaveLength(40);
    await replaceKey();
    await expect.poll(() => signer.sign(key.keyId, 'ecdsa-sha256', messages(1)).then(() => 'signed', ({ code }: PkiError) => code), { timeout: 10_000 })
      .toBe('hsm.key-mismatch');
    expect(await caught(signer.ready())).toMatchObject({ code: 'hsm.key-mismatch', retry: 'stop' });
  });

  it('replaced under its CKA_ID is left out where the owner is told, the others sign, and it is taken back', async () => {
    const neighbour = await token.generateKey('p-384');
    const told: [string, string][] = [];
    const signer = await open({
      keys: [key, neighbour], sessions: 2, probeMs: 200, patienceMs: 5000, onUnusableKey: (keyId, { code }) => told.push([toHex(keyId), code]),
    });
    expect([signer.usable(key.keyId), signer.usable(neighbour.keyId)]).toEqual([undefined, undefined]);
    // Kept as it is in the token's folder, to be put back.
    const tokens = join(token.dir, 'tokens');
    await run('cp', ['-a', tokens, `${tokens}-kept`]);
    await replaceKey();
    await expect.poll(() => signer.usable(key.keyId)?.code, { timeout: 10_000 }).toBe('hsm.key-mismatch');
    expect(await caught(signer.sign(key.keyId, 'ecdsa-sha256', messages(1)))).toMatchObject({ code: 'hsm.key-mismatch', data: { attempted: 0 } });
    const [tbs] = messages(1);
    const [signature] = await signer.sign(neighbour.keyId, 'ecdsa-sha384', [tbs!]);
    expect(verifySignature(neighbour.spkiDer, 'ecdsa-sha384', tbs!, signature!)).toBe(true);

    await rename(tokens, `${tokens}-replaced`);
    await rename(`${tokens}-kept`, tokens);
    await expect.poll(() => signer.usable(key.keyId), { timeout: 10_000 }).toBeUndefined();
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(40))).resolves.toHaveLength(40);
    expect(new Set(told.map(([id]) => id))).toEqual(new Set([toHex(key.keyId)]));
    expect(told.length).toBeLessThanOrEqual(3);
  });

  it('that are wrong at the start are told one by one, each with its reason', async () => {
    const told = new Map<string, PkiError>();
    const missing = { keyId: new Uint8Array(randomBytes(20)), spkiDer: key.spkiDer };
    const other = await token.generateKey('p-256');
    const mismatched = { keyId: other.keyId, spkiDer: key.spkiDer };
    const noPss = { ...await token.generateKey('rsa-2048'), algorithms: ['rsa-pss-sha256', 'rsa-sha256'] as SignatureAlgorithm[] };
    const large = await token.generateKey('rsa-3072');
    await appendFile(token.softhsmConf, 'slots.mechanisms = CKM_ECDSA,CKM_RSA_PKCS\n');
    const signer = await open({ keys: [key, missing, mismatched, noPss, large], onUnusableKey: (keyId, error) => told.set(toHex(keyId), error) });
    const of = ({ keyId }: { keyId: Uint8Array }): PkiError | undefined => told.get(toHex(keyId));
    expect([of(key), of(missing)?.code, of(mismatched)?.code, of(large)]).toEqual([undefined, 'hsm.key-not-found', 'hsm.key-mismatch', undefined]);
    expect(of(noPss)).toMatchObject({ code: 'hsm.mechanism-missing', message: expect.stringContaining('CKM_RSA_PKCS_PSS') });
    expect(signer.usable(noPss.keyId)).toMatchObject({ code: 'hsm.mechanism-missing' });
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(1))).resolves.toHaveLength(1);
    await expect(signer.sign(large.keyId, 'rsa-sha256', messages(1))).resolves.toHaveLength(1);
    // Where nobody is told, the start fails.
    expect(await caught(open({ keys: [noPss] }))).toMatchObject({ code: 'hsm.mechanism-missing', retry: 'stop' });
  });

  it('larger than the mechanism allows are refused, with the sizes', async () => {
    const shim = new HsmShim(token.dir, token.module);
    const { module } = shim;
    shim.largestKey(384);
    await expect(open({ module, keys: [key, await token.generateKey('p-384')] })).resolves.toBeDefined();
    expect(await caught(open({ module, keys: [await token.generateKey('p-521')] })))
      .toMatchObject({ code: 'hsm.mechanism-missing', message: expect.stringMatching(/CKM_ECDSA .*384 bits; this key has 521/) });
  });

  it('of the same label are no matter: the CKA_ID decides', async () => {
    const twin = await token.generateKey('p-256', 'ecu-issuing');
    const signer = await open({ keys: [key], sessions: 2 });
    const [tbs] = messages(1);
    const [signature] = await signer.sign(key.keyId, 'ecdsa-sha256', [tbs!]);
    expect([key, twin].map(({ spkiDer }) => verifySignature(spkiDer, 'ecdsa-sha256', tbs!, signature!))).toEqual([true, false]);
  });

  it('are closed in the eyes of p11tool and pkcs11-tool', async () => {
    await token.generateKey('rsa-4096', 'root');
    await token.generateKey('ed25519', 'odd');
    const environment = { ...process.env, SOFTHSM2_CONF: token.softhsmConf };
    const p11tool = await run('p11tool', ['--provider', token.module, '--login', '--list-privkeys', `pkcs11:token=${token.tokenLabel}`], {
      env: { ...environment, GNUTLS_PIN: token.pin.reveal() },
    });
    expect(p11tool.stdout.match(/^\tFlags: .*CKA_NEVER_EXTRACTABLE; CKA_SENSITIVE/gm)).toHaveLength(3);
    const pkcs11tool = await run('pkcs11-tool', ['--module', token.module, '--login', '--pin', token.pin.reveal(), '--list-objects', '--type', 'privkey'], { env: environment });
    expect(pkcs11tool.stdout.match(/Access: +sensitive, always sensitive, never extractable, local/g)).toHaveLength(3);
    expect(pkcs11tool.stdout).not.toMatch(/Usage:.*(decrypt|unwrap|derive)/);
  });

  it('of 4096 bits sign by PKCS #1 v1.5 and by PSS', async () => {
    const large = { ...await token.generateKey('rsa-4096'), algorithms: ['rsa-sha256', 'rsa-sha384', 'rsa-sha512', 'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'] as const };
    const signer = await open({ keys: [large] });
    for (const algorithm of large.algorithms) {
      const tbs = messages(2);
      const signatures = await signer.sign(large.keyId, algorithm, tbs);
      expect(tbs.map((message, i) => verifySignature(large.spkiDer, algorithm, message, signatures[i]!))).toEqual([true, true]);
    }
  });
});

describe('processes', () => {
  /** The HSM processes of the parent, which it started. */
  const childrenOf = (parent: number): number[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1]) === parent;
    } catch {
      return false; // It ended while we looked.
    }
  });
  const alive = (pid: number): boolean => {
    try {
      return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };

  it('a killed parent takes them with it, even while the HSM hangs for ever', async () => {
    const server = await startServer();
    const victim = spawn(process.execPath, ['--conditions=fleetroot-source', fileURLToPath(new URL('../support/hsm-victim.ts', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] });
    undo.push(() => victim.kill('SIGKILL'));
    const { tokenLabel, pin } = token;
    victim.stdin.end(JSON.stringify({ module: clientModule, tokenLabel, pin: pin.reveal(), keyId: toHex(key.keyId), spkiDer: toHex(key.spkiDer) }));
    await new Promise((resolve) => victim.stdout.once('data', resolve));
    await pause(300);
    const children = childrenOf(victim.pid ?? 0);
    expect(children).toHaveLength(2);
    server.hang();
    await pause(300);
    victim.kill('SIGKILL');
    const killed = performance.now();
    await expect.poll(() => children.filter(alive), { timeout: 10_000, interval: 50 }).toEqual([]);
    console.log(`HSM processes gone ${(performance.now() - killed).toFixed(0)} ms after their parent`);
    server.resume();
  });

  it('one of them killed costs only what it had in hand', async () => {
    const { module, folder } = recorder();
    const signer = await open({ module, keys: [key], sessions: 3, patienceMs: 10_000 });
    const load = new SigningLoad(signer, key);
    const first = childrenOf(process.pid).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('hsm/src/process/main'));
    for (const pid of first) {
      await pause(300);
      process.kill(pid, 'SIGKILL');
    }
    await pause(1500);
    await load.stop();
    const replaced = childrenOf(process.pid).filter((pid) => !first.includes(pid) && alive(pid));
    expect(replaced).toHaveLength(3);
    // The frame in its work; the one behind it too, where the process died while that was being handed over.
    expect(load.failures.length).toBeLessThanOrEqual(6);
    expect(load.failures.every(({ attempted }) => attempted > 0 && attempted <= 40)).toBe(true);
    expect(load.wrong).toBe(0);
    expect(Math.max(...timesSigned(folder, load.digests))).toBe(1);
  });
});
