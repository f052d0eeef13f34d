import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';

let plant: ApiPlant;
beforeAll(async () => {
  plant = await startApiPlant();
  await plant.startIssuer();
  await plant.ready();
});
afterAll(() => plant?.close());

/** PostgreSQL's processes: the postmaster and its children. */
function processes(): number[] {
  const file = readdirSync(plant.postgres.dataDir, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('postmaster.pid'));
  const postmaster = Number(readFileSync(join(plant.postgres.dataDir, file ?? ''), 'utf8').split('\n')[0]);
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === postmaster;
    } catch {
      return false;
    }
  }).map(Number);
  return [postmaster, ...children];
}

const signal = (name: NodeJS.Signals): void => {
  for (const pid of processes()) process.kill(pid, name);
};

let count = 0;
const issue = async () => plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ecuSerial: `OUT-${++count}`, partNumber: 'PN-1', csr: await p256Csr() });

it.each<[string, () => Promise<() => Promise<unknown>>]>([
  ['is stopped', async () => {
    const back = plant.postgres.restart(4000);
    await sleep(1000);
    return () => back;
  }],
  ['is frozen', async () => {
    signal('SIGSTOP');
    return async () => signal('SIGCONT');
  }],
])('while PostgreSQL %s every answer is 503 with Retry-After, soon; when it is back all goes on', async (_, leave) => {
  expect((await issue()).status).toBe(201);
  const comeBack = await leave();
  const waits: number[] = [];
  const ask = async (call: () => Promise<{ status: number; headers: Headers }>): Promise<void> => {
    const began = performance.now();
    const { status, headers } = await call();
    waits.push(performance.now() - began);
    expect([status, headers.get('retry-after')]).toEqual([503, '5']);
  };
  const calls = [
    () => plant.json('GET', '/v1/batches', 'line'), () => plant.json('GET', '/v1/audit?from=1', 'auditor'), issue,
    () => plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'away' }, body: '{}\n' }),
  ];
  for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 6 }, () => calls).flat().map(ask));
  // Promised are two seconds. Wide, as machines that run tests are busy.
  expect(Math.max(...waits)).toBeLessThan(4000);
  await comeBack();
  await expect.poll(async () => (await issue()).status, { timeout: 20_000, interval: 100 }).toBe(201);
}, 60_000);
