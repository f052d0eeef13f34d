// Our signer beside a bare loop of C_SignInit and C_Sign, in one run: what the process, the pool and the frames cost.
import { randomBytes } from 'node:crypto';
import { type KeyAlgorithm, openSigner, type Signer } from '@fleetroot/hsm';
import { signatureAlgorithmFor, verifySignature } from '@fleetroot/x509';
import { makeToken, type TestToken } from '../support/softhsm.ts';
import { type RawLoop, rawLoop, rawProcesses } from './raw-signatures.ts';
import { beside, percentile, print, type Result } from './report.ts';
import type { Scratch } from './scratch.ts';

const CALL = 250;
const GOAL = 0.9;

interface Round {
  /** Signatures a second. */
  (): number | Promise<number>;
}

type Key = Awaited<ReturnType<TestToken['generateKey']>>;

/** `bench hsm`. */
export async function benchHsm(scratch: Scratch, rounds: number): Promise<void> {
  const token = await makeToken();
  scratch.defer(() => token.remove());
  process.env['SOFTHSM2_CONF'] = token.softhsmConf;
  print('hsm', [
    ...await benchKey(token, 'p-256', 2, rounds),
    ...await benchKey(token, 'rsa-3072', 1, Math.ceil(rounds / 10)),
    ...await benchScaling(token, rounds),
  ]);
}

async function benchKey(token: TestToken, algorithm: KeyAlgorithm, calls: number, rounds: number): Promise<Result[]> {
  const key = await token.generateKey(algorithm);
  const copies = await open(token, key, 'try');
  const tokenKey = await open(token, key, 'never');
  const raw = (sessionCopy: boolean): RawLoop => rawLoop({ ...rawTask(token, key), sessionCopy });
  const [rawCopy, rawToken] = [raw(true), raw(false)];
  try {
    const [one, two, verified, ofTokenKey, floorCopy, floorToken, verifications] = await interleaved(rounds, [
      () => ours(copies, key, calls, 1),
      () => ours(copies, key, calls, 2),
      () => ours(copies, key, calls, 2, true),
      () => ours(tokenKey, key, calls, 2),
      () => rawCopy.sign(calls * CALL),
      () => rawToken.sign(calls * CALL),
      () => verifying(copies, key),
    ]);
    return [
      beside(`${algorithm}, a call of ${CALL} at a time, session copy`, one.median, '1/s', floorCopy.median, GOAL),
      beside(`${algorithm}, two calls in flight, session copy`, two.median, '1/s', floorCopy.median, GOAL),
      beside(`${algorithm}, two calls in flight, token key`, ofTokenKey.median, '1/s', floorToken.median, GOAL),
      // Two processes want two cores: on a shared machine the median tells of the neighbours too.
      beside(`${algorithm}, a call at a time, quietest tenth of the rounds`, one.quietest, '1/s', floorCopy.quietest),
      beside(`${algorithm}, two in flight, quietest tenth of the rounds`, two.quietest, '1/s', floorCopy.quietest),
      beside(`${algorithm}, two calls in flight, each signature verified`, verified.median, '1/s', floorCopy.median),
      { name: `${algorithm}, verifications alone`, value: verifications.median, unit: '1/s' },
    ];
  } finally {
    rawCopy.close();
    rawToken.close();
    await Promise.all([copies.close(), tokenKey.close()]);
  }
}

/** P-256 over several sessions, each in its process, beside as many processes with a bare loop. */
async function benchScaling(token: TestToken, rounds: number): Promise<Result[]> {
  const key = await token.generateKey('p-256');
  const results: Result[] = [];
  for (const sessions of [1, 2, 4]) {
    const signer = await open(token, key, 'try', sessions);
    const raw = await rawProcesses(sessions, { ...rawTask(token, key), sessionCopy: true });
    try {
      const [value, floor] = await interleaved(Math.ceil(rounds / 4), [
        () => ours(signer, key, 4 * sessions, sessions + 1), () => raw.sign(4 * CALL),
      ]);
      results.push(beside(`p-256, ${sessions} sessions`, value.median, '1/s', floor.median));
    } finally {
      raw.close();
      await signer.close();
    }
  }
  return results;
}

const open = (token: TestToken, key: Key, sessionCopies: 'try' | 'never', sessions = 1): Promise<Signer> => openSigner({
  module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 10_000, sessionCopies, sessions, keys: [key],
});

const rawTask = (token: TestToken, { keyId, spkiDer }: Key) => (
  { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin.reveal(), keyId, rsa: signatureAlgorithmFor(spkiDer).startsWith('rsa') }
);

/** A certificate's TBS is about so long. */
const messages = (count: number): Uint8Array[] => Array.from({ length: count }, () => new Uint8Array(randomBytes(600)));

/** Signatures a second of `calls` calls, so many of them open at once. */
async function ours(signer: Signer, { keyId, spkiDer }: Key, calls: number, inFlight: number, verify = false): Promise<number> {
  const algorithm = signatureAlgorithmFor(spkiDer);
  const tbs = messages(CALL);
  let left = calls;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const signatures = await signer.sign(keyId, algorithm, tbs);
      if (verify && !tbs.every((message, i) => verifySignature(spkiDer, algorithm, message, signatures[i]!))) throw new Error('a signature does not verify');
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, lane));
  return (calls * CALL * 1000) / (performance.now() - began);
}

async function verifying(signer: Signer, { keyId, spkiDer }: Key): Promise<number> {
  const algorithm = signatureAlgorithmFor(spkiDer);
  const tbs = messages(CALL);
  const signatures = await signer.sign(keyId, algorithm, tbs);
  const began = performance.now();
  if (!tbs.every((message, i) => verifySignature(spkiDer, algorithm, message, signatures[i]!))) throw new Error('a signature does not verify');
  return (CALL * 1000) / (performance.now() - began);
}

interface Rates {
  readonly median: number;
  /** A tenth of the rounds was faster. */
  readonly quietest: number;
}

/** Each measured in turn: what disturbs one round disturbs all of it. The first round warms up. */
async function interleaved<const R extends readonly Round[]>(rounds: number, measured: R): Promise<{ [I in keyof R]: Rates }> {
  const values: number[][] = measured.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, measure] of measured.entries()) {
      const value = await measure();
      if (round > 0) values[i]!.push(value);
    }
  }
  return values.map((each) => {
    each.sort((a, b) => a - b);
    return { median: percentile(each, 50), quietest: percentile(each, 90) };
  }) as { [I in keyof R]: Rates };
}
