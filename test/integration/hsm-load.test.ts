// The HSM's load control before a real token: whoever asks for much does not keep the others waiting.
import { randomBytes } from 'node:crypto';
import { signingPurposes } from '@fleetroot/authority';
import { controlLoad, openSigner, readShares, type Signer } from '@fleetroot/hsm';
import { verifySignature } from '@fleetroot/x509';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const shares = readShares('line=60,renewal=15,ocsp=10,crl=10,administration=5', signingPurposes);
const RENEWALS = 10_000;
const ALGORITHM = 'ecdsa-sha256';

let token: TestToken;
let signer: Signer;
let key: { keyId: Uint8Array; spkiDer: Uint8Array };

beforeAll(async () => {
  token = await makeToken();
  key = await token.generateKey('p-256');
  signer = await openSigner({ module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 10_000, sessionCopies: 'try', keys: [key] });
});
afterAll(async () => {
  await signer?.close();
  await token?.remove();
});

const messages = (count: number): Uint8Array[] => Array.from({ length: count }, () => randomBytes(300));

describe.each([1, 250])('while 10,000 renewals wait, one by one, calls of the line for %i', (size) => {
  test('are served within its share, and the renewals all the same', async () => {
    const load = controlLoad(signer, { shares, inFlight: 2 });
    let failed: unknown;
    const renewed = (): number => load.figures()['signed.renewal'] ?? 0;
    const wave = Promise.all(Array.from({ length: RENEWALS }, () => load.sign('renewal', key.keyId, ALGORITHM, messages(1))));
    wave.catch((error: unknown) => { failed = error; });
    await expect.poll(renewed, { timeout: 30_000, interval: 20 }).toBeGreaterThan(300);
    const waits: number[] = [];
    for (let i = 0; i < 10 && renewed() < RENEWALS * 0.8; i++) {
      const asked = messages(size);
      const began = performance.now();
      const signatures = await load.sign('line', key.keyId, ALGORITHM, asked);
      waits.push(performance.now() - began);
      expect(signatures.every((signature, j) => verifySignature(key.spkiDer, ALGORITHM, asked[j] ?? new Uint8Array(0), signature))).toBe(true);
    }
    const { signaturesPerSecond: rate = 0, 'queued.renewal': left = 0 } = load.figures();
    expect([failed, waits.length > 2, left > 0, rate > 50]).toEqual([undefined, true, true, true]);
    // Its share of the rate, or a moment for what was in hand; without load control each would wait for all that is queued.
    const due = (size / (rate * 0.6)) * 1000;
    const median = waits.toSorted((a, b) => a - b)[waits.length >> 1] ?? 0;
    expect(median).toBeLessThan(2 * due + 500);
    expect(median).toBeLessThan((left / rate) * 1000);
    await wave;
    expect(load.figures()).toMatchObject({ 'signed.renewal': RENEWALS, 'queued.renewal': 0, forecastSeconds: 0 });
  });
});
