import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RoleProcess } from '../../apps/cli/src/up/role-process.ts';

let folder: string;
let notices: string[];
let running: RoleProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-role-'));
  notices = [];
});
afterEach(async () => {
  await running?.stop(1000);
  rmSync(folder, { recursive: true });
});

function role(program: string, backoffMs = 20): RoleProcess {
  const entry = join(folder, 'role.mjs');
  writeFileSync(entry, program);
  running = new RoleProcess(
    { role: 'api', name: 'api', entry, environment: { MARK: 'x' }, log: join(folder, 'api.log'), nodeFlags: [] },
    { onNotice: (line) => notices.push(line), backoffMs },
  );
  return running;
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 5000; !condition(); await sleep(10)) if (Date.now() > end) throw new Error('it does not come true');
}

const log = (): string => readFileSync(join(folder, 'api.log'), 'utf8');
const WELL = `process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); setInterval(() => 0, 1000); process.send({ ready: true });`;

it('is ready when it says so, sees its own environment only, and ends on SIGTERM', async () => {
  const process = role(`console.log(Object.keys(process.env).sort().join()); ${WELL}`);
  await process.start();
  await process.stop(5000);
  // NODE_CHANNEL_FD and its like are how the channel to the parent is handed over.
  const [environment, last] = log().trim().split('\n');
  expect(environment?.split(',').filter((name) => !name.startsWith('NODE_CHANNEL_'))).toEqual(['MARK']);
  expect(last).toBe('bye');
  expect(notices).toEqual([]);
});

it('is started again when it dies, and says why', async () => {
  const process = role(WELL);
  await process.start();
  const first = process.pid;
  process.kill();
  await until(() => notices.length === 2);
  expect(process.pid).not.toBe(first);
  expect(notices).toEqual(['api ended (SIGKILL); it is started again in 0.02 s', 'api is ready again']);
});

it('is given up when it dies again and again before it was ready', async () => {
  const process = role(`console.error('fleetroot api: config.invalid: this is why'); console.log('{"level":50}'); process.exit(1);`);
  await expect(process.start()).rejects.toThrow('api does not start: fleetroot api: config.invalid: this is why (log: ');
  expect(notices).toHaveLength(2);
});

const REFUSED = `console.error('fleetroot issuer: hsm.pin-incorrect: the HSM refused the PIN'); process.exit(77);`;
const tries = (): number => log().split('hsm.pin-incorrect').length - 1;

it('is not started a second time where an HSM has refused its PIN', async () => {
  const process = role(REFUSED);
  await expect(process.start()).rejects.toMatchObject({ code: 'hsm.pin-incorrect', message: expect.stringContaining('Put the right PIN into its file') });
  await sleep(200);
  expect([tries(), notices, process.pid]).toEqual([1, [], undefined]);
});

it('is not started again where its PIN is refused once it has run, and says what to do', async () => {
  const process = role(`process.send({ ready: true }); setTimeout(() => { ${REFUSED} }, 50);`);
  await process.start();
  await until(() => notices.length > 0);
  await sleep(200);
  expect([tries(), process.pid]).toEqual([1, undefined]);
  expect(notices).toEqual([expect.stringMatching(/^api ended: fleetroot issuer: hsm\.pin-incorrect: the HSM refused the PIN\. It is not started again.*Put the right PIN into its file/)]);
});

it('goes on while another with its PIN was refused, and is not started again once it has ended', async () => {
  const process = role(WELL);
  await process.start();
  process.startNoMore();
  await sleep(100);
  expect([process.pid === undefined, notices]).toEqual([false, []]);
  process.kill();
  await until(() => notices.length > 0);
  await sleep(100);
  expect([process.pid, notices]).toEqual([undefined, [expect.stringContaining('it is not started again')]]);
});

it('whose PIN is refused elsewhere while it waits for its next start says that it does not start', async () => {
  const process = role('process.exit(1)', 10_000);
  const started = process.start();
  await until(() => notices.length > 0);
  process.startNoMore();
  await expect(Promise.race([started, sleep(2000, 'still waiting', { ref: false })])).rejects.toMatchObject({ code: 'hsm.pin-incorrect' });
});

it('is killed where it does not end in time', async () => {
  const process = role(`process.on('SIGTERM', () => 0); setInterval(() => 0, 1000); process.send({ ready: true });`);
  await process.start();
  const began = Date.now();
  await process.stop(100);
  expect(Date.now() - began).toBeLessThan(3000);
});
