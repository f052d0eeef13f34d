import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PkiError, Secret } from '@fleetroot/core';
import { type JobHandlers, JobProducer, JobRunner, type Outbox, type OutboxRow, type QueueOptions, relayOutbox, type RunnerSettings } from '@fleetroot/queue';
import { type EmbeddedPostgres, provision, startEmbeddedPostgres } from '@fleetroot/store';
import { openQueue } from '../../libs/queue/src/backend.ts';
import { startRedis } from '../support/redis.ts';

/** A place where BullMQ keeps its jobs, that can be taken away and brought back. */
interface Backend {
  readonly options: QueueOptions;
  stop(): Promise<void>;
  start(): Promise<void>;
  end(): Promise<void>;
}

const urlOf = (options: QueueOptions): Secret => (options.kind === 'redis' ? options.url : options.databaseUrl);

const backends: readonly { name: string; open(): Promise<Backend> }[] = [
  {
    name: 'redis',
    open: async () => {
      const redis = await startRedis();
      return { options: { kind: 'redis', url: redis.url }, stop: redis.stop, start: redis.start, end: redis.stop };
    },
  },
  {
    name: 'postgres',
    open: async () => {
      const dataDir = await mkdtemp(join(tmpdir(), 'fleetroot-queue-'));
      await chmod(dataDir, 0o755);
      const start = (): Promise<EmbeddedPostgres> => startEmbeddedPostgres({ dataDir, onNotice: () => undefined });
      let server = await start();
      const password = (): Secret => new Secret(randomBytes(16).toString('hex'));
      const { databaseUrl } = await provision({ adminUrl: server.adminUrl, password: password(), statusPassword: password() });
      return {
        options: { kind: 'postgres', databaseUrl },
        stop: () => server.stop(),
        start: async () => { server = await start(); },
        end: async () => {
          await server.stop();
          await rm(dataDir, { recursive: true, force: true });
        },
      };
    },
  },
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

async function until(holds: () => boolean, withinMs = 15_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > end) throw new Error('it did not come to pass in time');
    await sleep(20);
  }
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  return { opened, open };
}

describe.each(backends)('the queue on $name', ({ open, name: kind }) => {
  let backend: Backend;
  let producer: JobProducer;
  const runners: JobRunner[] = [];
  let nextId = 1;
  const fresh = (): number => nextId++;

  beforeAll(async () => {
    backend = await open();
    producer = new JobProducer(backend.options, { deadlineMs: 3000 });
  });
  afterEach(async () => {
    await Promise.all(runners.splice(0).map((runner) => runner.close()));
  });
  afterAll(async () => {
    await producer.close();
    await backend.end();
  });

  async function run(handlers: JobHandlers, settings: Partial<RunnerSettings> = {}): Promise<JobRunner> {
    const nothing = async (): Promise<void> => undefined;
    const runner = new JobRunner(backend.options, 'issuer', { 'issue-chunk': nothing, 'renew-chunk': nothing, 'publish-crl': nothing, 'publish-filter': nothing, ...handlers },
      { concurrency: 1, closeWithinMs: 2000, ...settings });
    runners.push(runner);
    await runner.start();
    return runner;
  }

  it('answers a ping', async () => {
    await producer.ping();
  });

  it('takes a job to its handler, with its payload', async () => {
    const chunk = String(fresh());
    const seen: unknown[] = [];
    await producer.add('issue-chunk', { chunkId: chunk });
    await run({ 'issue-chunk': async (payload) => void seen.push(payload) });
    await until(() => seen.length > 0);
    expect(seen).toEqual([{ chunkId: chunk }]);
  });

  it('wakes a runner that waits, at once', async () => {
    let taken = 0;
    await run({ 'issue-chunk': async () => { taken = Date.now(); } });
    await sleep(300);
    const added = Date.now();
    await producer.add('issue-chunk', { chunkId: String(fresh()) });
    await until(() => taken > 0);
    expect(taken - added).toBeLessThan(1000);
  });

  it('folds requests with one key into the job that waits', async () => {
    const [chunk, ca] = [String(fresh()), fresh()];
    for (let n = 0; n < 3; n++) {
      await producer.add('issue-chunk', { chunkId: chunk });
      await producer.addMany([{ name: 'publish-crl', payload: { caId: ca } }, { name: 'publish-crl', payload: { caId: ca } }]);
    }
    const seen: string[] = [];
    await run({ 'issue-chunk': async () => void seen.push('chunk'), 'publish-crl': async () => void seen.push('crl') });
    await until(() => seen.length >= 2);
    await sleep(500);
    expect(seen.toSorted()).toEqual(['chunk', 'crl']);
    await producer.add('issue-chunk', { chunkId: chunk });
    await until(() => seen.length === 3);
  });

  it('takes a job at once that is asked for anew, however far off it was put: by a clock that was wrong, say', async () => {
    const chunk = { chunkId: String(fresh()) };
    const ca = { caId: fresh() };
    const seen: unknown[] = [];
    await producer.addMany([{ name: 'issue-chunk', payload: chunk, delayMs: 3_600_000 }, { name: 'publish-crl', payload: ca, delayMs: 3_600_000 }]);
    await producer.addMany([{ name: 'issue-chunk', payload: chunk }, { name: 'publish-crl', payload: ca }]);
    const add = async (payload: unknown): Promise<void> => void seen.push(payload);
    await run({ 'issue-chunk': add, 'publish-crl': add });
    await until(() => seen.length > 1);
    expect(seen).toHaveLength(2);
    expect(seen).toEqual(expect.arrayContaining([chunk, ca]));
  });

  it('loses no CRL that is asked for while one is being published, and makes one of many such', async () => {
    const ca = fresh();
    const first = gate();
    let [started, finished] = [0, 0];
    await run({
      'publish-crl': async () => {
        started++;
        if (started === 1) await first.opened;
        finished++;
      },
    });
    await producer.add('publish-crl', { caId: ca });
    await until(() => started === 1);
    for (let n = 0; n < 5; n++) await producer.add('publish-crl', { caId: ca });
    first.open();
    await until(() => finished === 2);
    await sleep(500);
    expect(started).toBe(2);
  });

  it('does nothing twice for a chunk that is asked for while it is being issued', async () => {
    const chunk = String(fresh());
    const first = gate();
    let started = 0;
    await run({ 'issue-chunk': async () => { started++; await first.opened; } });
    await producer.add('issue-chunk', { chunkId: chunk });
    await until(() => started === 1);
    await producer.add('issue-chunk', { chunkId: chunk });
    first.open();
    await sleep(500);
    expect(started).toBe(1);
    await producer.add('issue-chunk', { chunkId: chunk });
    await until(() => started === 2);
  });

  it('serves priority 1 first', async () => {
    const [low, high] = [String(fresh()), String(fresh())];
    await producer.addMany([
      { name: 'issue-chunk', payload: { chunkId: low }, priority: 10 }, { name: 'issue-chunk', payload: { chunkId: high }, priority: 1 },
    ]);
    const seen: string[] = [];
    await run({ 'issue-chunk': async ({ chunkId }) => void seen.push(chunkId) });
    await until(() => seen.length === 2);
    expect(seen).toEqual([high, low]);
  });

  it.each<[string, unknown]>([
    ['an error that may pass', new PkiError('hsm.deadline')], ['an error of another kind', new TypeError('x')],
  ])('tries again after %s', async (_name, error) => {
    let [chunks, crls] = [0, 0];
    await run({
      'issue-chunk': async () => { if (++chunks < 3) throw error; },
      'publish-crl': async () => { if (++crls < 2) throw error; },
    });
    await producer.addMany([{ name: 'issue-chunk', payload: { chunkId: String(fresh()) } }, { name: 'publish-crl', payload: { caId: fresh() } }]);
    await until(() => chunks === 3 && crls === 2);
    await sleep(300);
    expect([chunks, crls]).toEqual([3, 2]);
  });

  it('gives up after an error that will not pass, and takes the same request again later', async () => {
    const chunk = String(fresh());
    const errors: object[] = [];
    let calls = 0;
    await run({ 'issue-chunk': async () => { calls++; throw new PkiError('profile.not-found'); } },
      { log: { warn: () => undefined, error: (fields) => void errors.push(fields) } });
    await producer.add('issue-chunk', { chunkId: chunk });
    await until(() => errors.length === 1);
    await sleep(1500);
    expect(calls).toBe(1);
    await producer.add('issue-chunk', { chunkId: chunk });
    await until(() => calls === 2);
  });

  it('ends the process after an error that says stop; another one gets the job', async () => {
    const fatal: unknown[] = [];
    const error = new PkiError('hsm.pin-incorrect');
    const done: string[] = [];
    const broken = await run({ 'issue-chunk': async () => { throw error; } }, { onFatal: (one) => void fatal.push(one) });
    await producer.addMany([{ name: 'issue-chunk', payload: { chunkId: String(fresh()) } }, { name: 'issue-chunk', payload: { chunkId: String(fresh()) } }]);
    await until(() => fatal.length > 0);
    await broken.close();
    await run({ 'issue-chunk': async ({ chunkId }) => void done.push(chunkId) });
    await until(() => done.length === 2);
    expect(fatal).toEqual([error]);
  });

  it('fails a job whose payload is not of the catalogue, without calling the handler', async () => {
    const queue = openQueue(backend.options, 'issue-chunk');
    const errors: object[] = [];
    let calls = 0;
    await run({ 'issue-chunk': async () => void calls++ }, { log: { warn: () => undefined, error: (fields) => void errors.push(fields) } });
    await queue.add('issue-chunk', { chunkId: 'x; DROP TABLE' }, {});
    await until(() => errors.length === 1);
    await queue.close();
    expect(calls).toBe(0);
  });

  it('gives the job of a killed process to another', async () => {
    const chunk = String(fresh());
    const lockMs = 1500;
    const victim = spawn(process.execPath, ['--conditions=fleetroot-source', fileURLToPath(new URL('../support/queue-victim.ts', import.meta.url)), kind, String(lockMs)],
      { stdio: ['pipe', 'pipe', 'inherit'] });
    victim.stdin.end(urlOf(backend.options).reveal());
    await producer.add('issue-chunk', { chunkId: chunk });
    await once(victim.stdout, 'data');
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    const killed = Date.now();
    const seen: string[] = [];
    await run({ 'issue-chunk': async ({ chunkId }) => void seen.push(chunkId) }, { lockMs });
    await until(() => seen.length > 0);
    expect(seen).toEqual([chunk]);
    // The lock, two checks and the wait of an idle runner: with the lock of 15 s that is below the 45 s that we promise.
    expect(Date.now() - killed).toBeLessThan((lockMs * 7) / 3 + 2000 + 1000);
  });

  it('keeps the lock of a job that takes longer than it', async () => {
    const lockMs = 900;
    let starts = 0;
    let done = false;
    const slow = async (): Promise<void> => { starts++; await sleep(lockMs * 4); done = true; };
    await run({ 'issue-chunk': slow }, { lockMs });
    await run({ 'issue-chunk': slow }, { lockMs });
    await producer.add('issue-chunk', { chunkId: String(fresh()) });
    await until(() => done);
    expect(starts).toBe(1);
  });

  it('closes when the job in hand is done, or after its time', async () => {
    const quick = await run({ 'issue-chunk': () => sleep(400) });
    let started = false;
    await producer.add('issue-chunk', { chunkId: String(fresh()) });
    await sleep(200);
    const begun = Date.now();
    await quick.close();
    expect(Date.now() - begun).toBeLessThan(1500);
    const forever = gate();
    const stuck = await run({ 'issue-chunk': async () => { started = true; await forever.opened; } }, { closeWithinMs: 500 });
    await producer.add('issue-chunk', { chunkId: String(fresh()) });
    await until(() => started);
    const again = Date.now();
    await stuck.close();
    expect(Date.now() - again).toBeLessThan(1000);
    forever.open();
  });

  it('publishes every row of an outbox that two relays empty at once', async () => {
    const wanted = Array.from({ length: 700 }, () => String(fresh()));
    const rows: OutboxRow[] = wanted.map((chunkId, index) => ({ id: BigInt(index), job: 'issue-chunk', payload: { chunkId }, priority: 10 }));
    const outbox: Outbox = {
      pending: async (limit) => rows.slice(0, limit),
      remove: async (ids) => { rows.splice(0, rows.length, ...rows.filter((row) => !ids.includes(row.id))); },
    };
    const seen = new Set<string>();
    await run({ 'issue-chunk': async ({ chunkId }) => void seen.add(chunkId) }, { concurrency: 8 });
    await Promise.all([relayOutbox(outbox, producer), relayOutbox(outbox, producer)]);
    expect(rows).toEqual([]);
    await until(() => wanted.every((chunk) => seen.has(chunk)), 30_000);
  });

  it('says that the queue is away, crashes nothing, and goes on when it is back', async () => {
    const seen: string[] = [];
    await run({ 'issue-chunk': async ({ chunkId }) => void seen.push(chunkId) });
    await producer.add('issue-chunk', { chunkId: String(fresh()) });
    await until(() => seen.length === 1);
    await backend.stop();
    const unborn = new JobProducer(backend.options, { deadlineMs: 1000 });
    await expect(producer.ping()).rejects.toMatchObject({ code: 'queue.unavailable', retry: 'later' });
    await expect(unborn.add('issue-chunk', { chunkId: String(fresh()) })).rejects.toMatchObject({ code: 'queue.unavailable' });
    await expect(run({})).rejects.toMatchObject({ code: 'queue.unavailable' });
    await backend.start();
    await expect.poll(() => Promise.all([producer.ping(), unborn.ping()]).then(() => true, () => false), { timeout: 15_000 }).toBe(true);
    const chunk = String(fresh());
    await unborn.add('issue-chunk', { chunkId: chunk });
    await until(() => seen.includes(chunk), 30_000);
    await unborn.close();
  });
});
