import { generateKeyPairSync } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Call, type Outcome } from '../src/pool/call.ts';
import { pooledKey } from '../src/pool/key.ts';
import { Patience } from '../src/pool/patience.ts';

const spkiDer = new Uint8Array(generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }));
const key = pooledKey({ keyId: Uint8Array.of(1), spkiDer });
const callOf = (count: number): Call =>
  new Call({ key, algorithm: 'ed25519', messages: Array.from({ length: count }, (_, i) => Uint8Array.of(i)) });
const lost = new PkiError('hsm.unavailable', 'lost');
/** The signature of message i is i: what the frame from `start` gave, of which `made` were made and `attempted` tried. */
const outcome = (start: number, made: number, attempted = made, error?: PkiError): Outcome => ({
  signatures: Array.from({ length: made }, (_, i) => Uint8Array.of(start + i)), attempted, ...(error === undefined ? {} : { error }),
});
const numbers = (signatures: readonly Uint8Array[]): number[] => signatures.map(([octet]) => octet ?? -1);

describe('a call', () => {
  it('is handed out in order and comes back in order, whatever comes back first', async () => {
    const call = callOf(70);
    const spans = [call.take(32), call.take(32), call.take(32)];
    expect(spans).toEqual([{ start: 0, end: 32 }, { start: 32, end: 64 }, { start: 64, end: 70 }]);
    expect(call.waiting).toBe(false);
    for (const span of spans.toReversed()) call.give(span, outcome(span.start, span.end - span.start));
    expect(numbers(await call.result)).toEqual(Array.from({ length: 70 }, (_, i) => i));
  });

  it('hands out again what was not attempted, and only that, before the rest', async () => {
    const call = callOf(40);
    const [first, second] = [call.take(10), call.take(10)];
    call.give(first, outcome(0, 4, 4, lost));
    call.give(second, outcome(10, 0, 0, lost));
    const again = [call.take(32), call.take(32), call.take(32)];
    expect(again).toEqual([{ start: 10, end: 20 }, { start: 4, end: 10 }, { start: 20, end: 40 }]);
    for (const span of again) call.give(span, outcome(span.start, span.end - span.start));
    expect(numbers(await call.result)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  it.each([
    ['a frame whose outcome nobody knows', [outcome(0, 10), outcome(10, 0, 10, lost)], 20],
    ['a C_Sign that failed', [outcome(0, 10), outcome(10, 3, 4, lost)], 14],
    ['nothing attempted at all', [outcome(0, 0, 0, lost), outcome(10, 0, 0, lost)], 0],
    ['a later frame that was signed', [outcome(0, 0, 0, lost), outcome(10, 10)], 20],
  ])('that fails tells the prefix that may be signed: %s', async (_, outcomes, attempted) => {
    const call = callOf(40);
    const spans = outcomes.map(() => call.take(10));
    call.fail(lost);
    expect(call.settled).toBe(false);
    spans.forEach((span, i) => call.give(span, outcomes[i]!));
    await expect(call.result).rejects.toMatchObject({ code: 'hsm.unavailable', data: { attempted } });
  });
});

describe('patience', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function waiting(ms: number): { patience: Patience; call: Call; expired: Call[] } {
    const expired: Call[] = [];
    const patience = new Patience(ms, (call) => expired.push(call));
    const call = callOf(1);
    patience.add(call);
    return { patience, call, expired };
  }

  it('ends after its time away, and one failed attempt', () => {
    const { patience, call, expired } = waiting(1000);
    vi.advanceTimersByTime(5000);
    patience.away(lost);
    vi.advanceTimersByTime(5000);
    expect(expired).toEqual([]);
    patience.failed(lost);
    expect(expired).toEqual([call]);
  });

  it('counts only the time away, of every outage', () => {
    const { patience, call, expired } = waiting(1000);
    for (const away of [600, 300]) {
      patience.away(lost);
      patience.failed(lost);
      vi.advanceTimersByTime(away);
      patience.back();
      vi.advanceTimersByTime(60_000);
    }
    expect(expired).toEqual([]);
    patience.away(lost);
    vi.advanceTimersByTime(300);
    expect(expired).toContain(call);
  });

  it('of a call that comes later begins later', () => {
    const { patience, call, expired } = waiting(1000);
    patience.away(lost);
    vi.advanceTimersByTime(900);
    const later = callOf(1);
    patience.add(later);
    patience.failed(lost);
    vi.advanceTimersByTime(500);
    expect([expired.includes(call), expired.includes(later)]).toEqual([true, false]);
  });

  it('of nothing is one attempt, and one session lost under the call', () => {
    const { patience, call, expired } = waiting(0);
    patience.away(lost);
    vi.advanceTimersByTime(5000);
    patience.interrupted(call, lost);
    patience.back();
    expect(expired).toEqual([]);
    patience.interrupted(call, lost);
    expect(expired).toEqual([call]);
  });

  it('does not end for a call that is in hand', () => {
    const { patience, call, expired } = waiting(0);
    call.take(1);
    patience.away(lost);
    patience.failed(lost);
    expect(expired).toEqual([]);
  });
});
