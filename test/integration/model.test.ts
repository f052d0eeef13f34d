// Random sequences of what a plant does and of what befalls it, on a real PostgreSQL and a real SoftHSM: after each step
// nothing is lost, doubled or unaccounted for.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RevocationReason } from '@fleetroot/authority';
import type { CrashPoint } from '@fleetroot/core';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HsmCa, makeHsmCa } from '../support/hsm-ca.ts';
import { ModelPlant } from '../support/model-plant.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

/** The number to give again, with the path, to see a failure once more: MODEL_SEED, MODEL_PATH, MODEL_REPLAY. */
const SEED = Number(process.env['MODEL_SEED'] ?? 5);
/** No run begins after so many milliseconds, and no failure is shrunk for longer. */
const TIME_MS = Number(process.env['MODEL_MS'] ?? 25_000);

let token: TestToken;
let postgres: TestPostgres;
let ca: HsmCa;
let folder: string;

beforeAll(async () => {
  [token, postgres] = await Promise.all([makeToken(), startTestPostgres()]);
  ca = await makeHsmCa(token);
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-model-'));
});
afterAll(async () => {
  await ca?.close();
  await postgres?.stop();
  await token?.remove();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const points: readonly CrashPoint[] = [
  'issuance.claimed', 'issuance.prepared', 'issuance.intent-recorded', 'issuance.signed', 'issuance.certified', 'issuance.stored',
  'batch.appended', 'outbox.read', 'outbox.relayed', 'crl.reserved', 'crl.signed',
];
const reasons: readonly RevocationReason[] = ['keyCompromise', 'superseded', 'cessationOfOperation'];

type Step = fc.AsyncCommand<object, ModelPlant>;

/** A step, and what must hold after it. */
const step = (name: string, take: (plant: ModelPlant) => Promise<void> | void): Step => ({
  check: () => true,
  toString: () => name,
  async run(_, plant) {
    await take(plant);
    expect(await plant.breaches(false)).toEqual([]);
    steps++;
  },
});

let steps = 0;

const stepArbitraries: fc.Arbitrary<Step>[] = [
  fc.integer({ min: 1, max: 4 }).map((count) => step(`submit ${count}`, (plant) => plant.submit(count))),
  fc.tuple(fc.nat(20), fc.boolean()).map(([which, newKey]) => step(`renew ${which}${newKey ? ' with a new key' : ''}`, (plant) => plant.renew(which, newKey))),
  fc.constant(step('work', (plant) => plant.work())),
  fc.constant(step('work', (plant) => plant.work())),
  fc.tuple(fc.nat(20), fc.constantFrom(...reasons)).map(([which, reason]) => step(`revoke ${which} ${reason}`, (plant) => plant.revoke(which, reason))),
  fc.constant(step('publish the CRL', (plant) => plant.publish())),
  ...[1, 2].map(() => fc.tuple(fc.constantFrom(...points), fc.integer({ min: 1, max: 2 })).map(([point, nth]) => step(`crash at ${point}, arrival ${nth}`, async (plant) => {
    plant.orderCrash(point, nth);
    await plant.submit(3);
    await plant.work();
    if (point.startsWith('crl.')) await plant.publish();
  }))),
  fc.tuple(fc.constantFrom(...points), fc.integer({ min: 1, max: 2 })).map(([point, nth]) => step(`order a crash at ${point}, arrival ${nth}`, (plant) => plant.orderCrash(point, nth))),
  fc.constant(step('restart', (plant) => plant.restart())),
  fc.constant(step('the queue is lost', (plant) => plant.loseQueue())),
  fc.constant(step('everything is delivered twice', (plant) => plant.doubleQueue())),
  fc.constantFrom(0, 0, 0, 0, 0, 0, 1000, -1000, 4000, -4000, 3_600_000, -3_600_000, 400 * 86_400_000, -400 * 86_400_000)
    .map((off) => step(`the clock goes ${off / 1000} s wrong`, (plant) => { plant.clockOff = off; })),
];

test('whatever happens in whatever order, every ECU has its certificate in the end, and every signature is accounted for', { timeout: TIME_MS * 4 + 60_000 }, async () => {
  let [runs, deaths] = [0, 0];
  let inHand = Promise.resolve();
  await fc.assert(fc.asyncProperty(
    fc.commands(stepArbitraries, { maxCommands: 40, size: 'max', ...(process.env['MODEL_REPLAY'] === undefined ? {} : { replayPath: process.env['MODEL_REPLAY'] }) }),
    (commands) => inHand = (async () => {
      const plant = await ModelPlant.open(postgres, ca, folder);
      try {
        await fc.asyncModelRun(() => ({ model: {}, real: plant }), commands);
        await plant.recover();
        expect(await plant.breaches(true)).toEqual([]);
        runs++;
        deaths += plant.deaths;
      } finally {
        await plant.close();
      }
    })()), {
    seed: SEED, numRuns: 10_000, interruptAfterTimeLimit: TIME_MS, markInterruptAsFailure: false,
    ...(process.env['MODEL_PATH'] === undefined ? {} : { path: process.env['MODEL_PATH'] }),
  });
  // Time may run out in the middle of a run: it counts too.
  await inHand;
  console.log(`${runs} runs, ${steps} steps, ${deaths} deaths`);
  // A model in which nothing befalls anybody shows nothing.
  expect(runs).toBeGreaterThan(0);
  if (steps > 100) expect(deaths).toBeGreaterThan(0);
});
