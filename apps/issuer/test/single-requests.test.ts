import { expect, test } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { createLogger } from '@fleetroot/telemetry';
import { SingleRequests, type SingleRequestsParts } from '../src/single-requests.ts';

const logger = createLogger({ role: 'test', level: 'silent' });
type IssueSingle = SingleRequestsParts['issuance']['issueSingle'];

function singles(issueSingle: IssueSingle, { concurrency = 2, everyMs = 5 } = {}) {
  const seen = { wake: (): void => undefined, fatal: [] as unknown[], unsubscribed: false };
  const requests = new SingleRequests({
    issuance: { issueSingle }, concurrency, everyMs, logger, onFatal: (error) => seen.fatal.push(error),
    ledger: {
      onSingle: (wake) => {
        seen.wake = wake;
        return () => { seen.unsubscribed = true; };
      },
    },
  });
  requests.start();
  return { requests, seen };
}

test('takes what waits until there is none, those that nobody tried as soon as it is told', async () => {
  let waiting = 0;
  const asked: unknown[] = [];
  const { requests, seen } = singles(async (among) => {
    asked.push(among);
    return waiting-- > 0 ? 'done' : 'none';
  }, { everyMs: 60_000 });
  await expect.poll(() => asked).toEqual([{ except: [] }]);
  waiting = 3;
  seen.wake();
  await expect.poll(() => asked.slice(1)).toEqual(['fresh', 'fresh', 'fresh', 'fresh']);
  await requests.close();
  expect(seen.unsubscribed).toBe(true);
});

test('works on no more than so many at once, and waits for them when it closes', async () => {
  let running = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const { requests, seen } = singles(async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => ends.push(resolve));
    running--;
    return 'done';
  });
  for (let i = 0; i < 10; i++) seen.wake();
  await expect.poll(() => running).toBe(2);
  const closed = requests.close();
  expect(running).toBe(2);
  for (const end of ends) end();
  await closed;
  expect({ running, most }).toEqual({ running: 0, most: 2 });
});

test('one that fails is put off, and holds up no other', async () => {
  const asked: unknown[] = [];
  const { requests, seen } = singles(async (among) => {
    asked.push(among === 'fresh' ? among : among.except);
    if (asked.length === 1) return { chunkId: 7n, error: new PkiError('ca.key-unusable') };
    return asked.length < 4 ? 'done' : 'none';
  }, { concurrency: 1 });
  await expect.poll(() => asked.slice(0, 4)).toEqual([[], [7n], [7n], [7n]]);
  await expect.poll(() => asked.slice(4).some((except) => Array.isArray(except) && except.length === 0), { timeout: 3000 }).toBe(true);
  expect(seen.fatal).toEqual([]);
  await requests.close();
});

test('after an error that says stop it takes no more, and says so once', async () => {
  let asked = 0;
  const error = new PkiError('hsm.signature-invalid');
  const { requests, seen } = singles(async () => {
    asked++;
    return { chunkId: 1n, error };
  });
  await expect.poll(() => seen.fatal).toEqual([error]);
  seen.wake();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect({ asked, fatal: seen.fatal.length }).toEqual({ asked: 1, fatal: 1 });
  await requests.close();
});

test('a ledger that is away is asked again', async () => {
  let asked = 0;
  const { requests, seen } = singles(async () => {
    if (++asked < 3) throw new PkiError('store.unavailable');
    return 'none';
  });
  await expect.poll(() => asked).toBeGreaterThan(3);
  expect(seen.fatal).toEqual([]);
  await requests.close();
});
