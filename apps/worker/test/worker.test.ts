import { describe, expect, it, test } from 'vitest';
import type { SchedulerRegistry } from '@nestjs/schedule';
import { Secret } from '@fleetroot/core';
import type { NewJob } from '@fleetroot/queue';
import { createLogger } from '@fleetroot/telemetry';
import { createHmac } from 'node:crypto';
import { Leadership } from '../src/leadership.ts';
import { Schedule } from '../src/schedule.ts';
import type { Task } from '../src/task.ts';
import { crlsTask } from '../src/tasks/crls.ts';
import { filtersTask } from '../src/tasks/filters.ts';
import { idempotencyKey, isAskedAgain } from '../src/tasks/ocsp-signers.ts';
import { renewalTask } from '../src/tasks/renewal.ts';
import { readSignerRequests } from '../src/tasks/signer-requests.ts';
import { silentBatchesTask } from '../src/tasks/silent-batches.ts';
import { forgottenChunksTask, orphanedChunksTask } from '../src/tasks/stale-chunks.ts';

const at = (seconds: number): Date => new Date(Date.UTC(2026, 10, 22) + seconds * 1000);
const lines: string[] = [];
const logger = createLogger({ role: 'worker', level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
const never = new AbortController().signal;
const keyId = Uint8Array.of(1);

describe('CRLs', () => {
  it('are asked for while the published one is old: at once, and again after a while', async () => {
    let now = 0;
    const jobs: NewJob[] = [];
    const published = new Map<number, { thisUpdate: Date; nextUpdate: Date }>();
    const changed: Date[] = [];
    const task = crlsTask({
      authorities: { all: async () => [
        { id: 1, name: 'a', state: 'active', keyId }, { id: 2, name: 'b', state: 'prepared', keyId }, { id: 3, name: 'c', state: 'retired', keyId },
        { id: 4, name: 'd', state: 'active' }, { id: 5, name: 'e', state: 'compromised', keyId },
      ] as never },
      crls: {
        scopes: async () => [{ scope: 'all', uris: [], since: at(-1e6) }],
        heads: async (caId) => (['full', 'delta'] as const).flatMap((kind) => {
          const crl = published.get(caId ?? 0);
          return crl === undefined ? [] : [{ scope: 'all', kind, entries: 0, ...crl }];
        }) as never,
        changes: async (caId, since) => changed.filter((one) => caId === 1 && one >= since).map((newestAt) => ({ scope: 'all', count: 1, newestAt, urgentAt: undefined })),
      },
      producer: { addMany: async (added) => void jobs.push(...added) },
      clock: { now: () => at(now) }, logger, refreshPercent: 50, everyMs: 1,
    });
    const round = async (seconds: number): Promise<unknown[]> => {
      now = seconds;
      jobs.length = 0;
      await task.run(never);
      return jobs.map((job) => job.payload);
    };
    expect(await round(0)).toEqual([{ caId: 1 }, { caId: 2 }]);
    expect(await round(10)).toEqual([]);
    published.set(1, { thisUpdate: at(10), nextUpdate: at(110) });
    expect(await round(31)).toEqual([{ caId: 2 }]);
    expect(await round(60)).toEqual([{ caId: 1 }]);
    // A change whose own job was lost.
    for (const id of [1, 2]) published.set(id, { thisUpdate: at(61), nextUpdate: at(461) });
    expect(await round(62)).toEqual([]);
    changed.push(at(63));
    expect(await round(70)).toEqual([]);
    expect(await round(74)).toEqual([{ caId: 1 }]);
    published.set(1, { thisUpdate: at(75), nextUpdate: at(475) });
    expect(await round(110)).toEqual([]);
  });
});

describe('revocation filters', () => {
  it('are asked for where there is none, or an old one, and again after a while', async () => {
    let now = 0;
    const jobs: NewJob[] = [];
    const madeAt = new Map<number, Date>();
    const task = filtersTask({
      authorities: { all: async () => [{ id: 1, name: 'a', state: 'active', keyId }, { id: 2, name: 'b', state: 'retiring', keyId }, { id: 3, name: 'c', state: 'active' }] as never },
      filters: { madeAt: async () => madeAt }, producer: { addMany: async (added) => void jobs.push(...added) },
      clock: { now: () => at(now) }, logger, hours: 1, everyMs: 1,
    });
    const round = async (seconds: number): Promise<unknown[]> => {
      now = seconds;
      jobs.length = 0;
      await task.run(never);
      return jobs.map(({ name, payload }) => ({ name, ...payload }));
    };
    const job = (caId: number) => ({ name: 'publish-filter', caId });
    expect(await round(0)).toEqual([job(1), job(2)]);
    expect(await round(200)).toEqual([]);
    madeAt.set(1, at(250));
    expect(await round(301)).toEqual([job(2)]);
    expect(await round(3849)).toEqual([job(2)]);
    expect(await round(3850)).toEqual([job(1)]);
  });
});

describe('an OCSP signer request', () => {
  const secret = new Secret('shared');
  const hmac = (ca: string, csr: string): string => createHmac('sha256', 'shared').update(`${ca}\n${csr}`).digest('hex');
  it('is taken with the right HMAC only', () => {
    const refused: string[] = [];
    const good = { ca: 'a', csr: 'TQ==', hmac: hmac('a', 'TQ==') };
    const body = [good, { ...good, ca: 'b' }, { ...good, csr: 'TR==' }, { ...good, hmac: '' }, { ...good, hmac: 'zz' }, { ...good, hmac: good.hmac.slice(2) }];
    expect(readSignerRequests(JSON.stringify(body), secret, (ca) => void refused.push(ca))).toEqual([{ ca: 'a', csr: 'TQ==' }]);
    expect(refused).toEqual(['b', 'a', 'a', 'a', 'a']);
  });
  test.each(['', 'null', '{}', '[1]', '[{"ca":"a"}]', '[{"ca":1,"csr":"","hmac":""}]', JSON.stringify(Array.from({ length: 1001 }, () => ({ ca: '', csr: '', hmac: '' })))])(
    'list %# of the wrong form is refused', (body) => {
      expect(() => readSignerRequests(body, secret, () => undefined)).toThrow(expect.objectContaining({ code: 'http.body-invalid' }));
    });
  test.each<[string, Parameters<typeof isAskedAgain>[0], boolean]>([
    ['is in work', { state: 'accepted', failed: 0, completedAt: undefined }, false],
    ['was issued just now', { state: 'done', failed: 0, completedAt: at(-599) }, false],
    ['was issued long ago', { state: 'done', failed: 0, completedAt: at(-600) }, true],
    ['failed just now', { state: 'done', failed: 1, completedAt: at(-59) }, false],
    ['failed a minute ago', { state: 'done', failed: 1, completedAt: at(-60) }, true],
  ])('that %s is made again: %s', (_name, batch, again) => expect(isAskedAgain(batch, at(0))).toBe(again));
  it('has a key of CA, key, day and attempt', () => {
    expect(idempotencyKey('a', new Uint8Array(32), at(0), 2)).toBe(`ocsp-signer:a:${'0'.repeat(32)}:2026-11-22:2`);
  });
});

describe('batches whose sender is gone', () => {
  const task = (ids: readonly string[], discard: (id: string) => Promise<void>) => silentBatchesTask({
    silent: async (silence, limit) => {
      expect([silence, limit]).toEqual([{ streamedMs: 3_600_000, inPartsMs: 86_400_000 }, 20]);
      return ids;
    },
    discard,
  }, 1000, logger);
  it('are discarded, and one that resists keeps no other', async () => {
    const gone: string[] = [];
    await expect(task(['a', 'b', 'c'], async (id) => {
      if (id === 'b') throw new Error('away');
      gone.push(id);
    }).run(never)).rejects.toThrow('away');
    expect(gone).toEqual(['a', 'c']);
  });
  it('are left to the next leader once the lead is lost', async () => {
    const gone: string[] = [];
    const lead = new AbortController();
    await task(['a', 'b'], async (id) => {
      gone.push(id);
      lead.abort();
    }).run(lead.signal);
    expect(gone).toEqual(['a']);
  });
});

describe('chunks that nobody works on', () => {
  const chunk = (id: number, more: object = {}) => ({ chunkId: BigInt(id), purpose: 'line' as const, turn: id, priority: 10 + id, fence: 0, ...more });
  const collected = () => {
    const jobs: NewJob[] = [];
    return { jobs, addMany: async (added: readonly NewJob[]) => void jobs.push(...added) };
  };
  it('because their issuer died are asked for by a job that the dead one\'s does not take in, each in its queue', async () => {
    const queue = collected();
    await orphanedChunksTask({ orphaned: async () => [chunk(7, { fence: 2 }), chunk(8, { fence: 1, purpose: 'renewal', priority: 1 })] }, queue, 6000, logger).run(never);
    expect(queue.jobs).toEqual([
      { name: 'issue-chunk', payload: { chunkId: '7' }, priority: 17, jobId: 'chunk-7-after-2' },
      { name: 'renew-chunk', payload: { chunkId: '8' }, priority: 1, jobId: 'chunk-8-after-1' },
    ]);
  });
  test.each<[string, number, number, number, number, number]>([
    ['as many jobs as chunks', 1200, 3, 1200, 3, 1],
    ['more jobs than chunks', 1200, 3, 1300, 9, 1],
    ['one job too few', 1200, 3, 1199, 3, 1200],
    ['a renewal too few, and jobs of the line in plenty', 1200, 3, 5000, 2, 1200],
    ['none at all', 1200, 0, 0, 0, 1200],
  ])('where the queue holds %s', async (_, line, renewals, jobs, renewalJobs, asked) => {
    const queue = collected();
    const pages: number[] = [];
    await forgottenChunksTask({
      open: async () => [
        { purpose: 'line', priority: 10, chunks: line - 1 }, { purpose: 'crl', priority: 10, chunks: 1 }, { purpose: 'renewal', priority: 10, chunks: renewals },
      ],
      // The one that has waited for a minute is asked for in any case.
      pending: async (graceMs, after, limit) => {
        if (graceMs === 60_000) return [chunk(1)];
        pages.push(after?.turn ?? -1);
        return Array.from({ length: Math.min(limit, 1200 - ((after?.turn ?? -1) + 1)) }, (_each, i) => chunk((after?.turn ?? -1) + 1 + i));
      },
    }, { ...queue, waiting: async (name) => (name === 'issue-chunk' ? jobs : renewalJobs) }, 6000, 10_000, logger).run(never);
    expect(queue.jobs).toHaveLength(asked);
    if (asked > 1) expect(pages).toEqual([-1, 499, 999]);
  });
});

describe('renewal', () => {
  test.each([[[1000, 1000, 3], 3], [[0], 1], [[1000], 2]])('goes on in pages while they are full: %j', async (counts, calls) => {
    const events: unknown[] = [];
    let call = 0;
    const task = renewalTask({
      markRenewalDue: async (_now, until, limit, event) => {
        expect([until, limit]).toEqual([at(30 * 86_400), 1000]);
        const count = counts[call++] ?? 0;
        if (count > 0) events.push(event(count));
        return count;
      },
    }, 30, 1000, { now: () => at(0) }, logger);
    await task.run(never);
    expect(call).toBe(calls);
    if (counts[0] !== 0) expect(events[0]).toMatchObject({ action: 'renewal.due', data: { certificates: counts[0] } });
  });
});

describe('the lead', () => {
  function parts(): { leadership: Leadership; lease: { answer: () => Promise<boolean> }; time: { ms: number } } {
    const lease = { answer: async (): Promise<boolean> => true };
    const time = { ms: 0 };
    const leases = { acquire: () => lease.answer(), release: async () => undefined };
    return { leadership: new Leadership(leases, 'me', logger, () => time.ms), lease, time };
  }
  it('is held from its renewal on, and runs out before the ledger gives it away', async () => {
    const { leadership, time } = parts();
    expect(leadership.held).toBe(false);
    await leadership.renew();
    time.ms = 11_999;
    expect(leadership.held).toBe(true);
    time.ms = 12_000;
    expect(leadership.held).toBe(false);
  });
  it('is lost when another has it, and whoever works is told', async () => {
    const { leadership, lease } = parts();
    await leadership.renew();
    const { signal } = leadership;
    lease.answer = async () => false;
    await leadership.renew();
    expect([leadership.held, signal.aborted]).toEqual([false, true]);
  });
  it('outlives a ledger that is away for a moment, and no longer', async () => {
    const { leadership, lease, time } = parts();
    await leadership.renew();
    const { signal } = leadership;
    lease.answer = async () => { throw new Error('away'); };
    time.ms = 4000;
    await leadership.renew();
    expect(leadership.held).toBe(true);
    time.ms = 12_001;
    await leadership.renew();
    expect([leadership.held, signal.aborted]).toEqual([false, true]);
  });
});

describe('the schedule', () => {
  async function schedule(tasks: Task[], leads: boolean): Promise<{ schedule: Schedule; timers: NodeJS.Timeout[] }> {
    const timers: NodeJS.Timeout[] = [];
    const registry = { addInterval: (_name: string, timer: NodeJS.Timeout) => void timers.push(timer) } as unknown as SchedulerRegistry;
    const leadership = new Leadership({ acquire: async () => leads, release: async () => undefined }, 'me', logger);
    const made = new Schedule(registry, { tasks, leadership, logger });
    await made.onApplicationBootstrap();
    return { schedule: made, timers };
  }
  const task = (name: string, run: () => Promise<void>, runsOn: Task['runsOn'] = 'leader'): Task => ({ name, everyMs: 1_000_000, runsOn, run });

  it('does not start a task that still runs, and starts it again after it failed', async () => {
    let starts = 0;
    let fail = (): void => undefined;
    const slow = task('slow', () => new Promise((_, reject) => { starts++; fail = () => reject(new Error('no')); }));
    const { schedule: running, timers } = await schedule([slow], true);
    running.tick(slow);
    expect(starts).toBe(1);
    fail();
    await new Promise(setImmediate);
    running.tick(slow);
    expect(starts).toBe(2);
    expect(lines.some((line) => line.includes('a scheduled task failed'))).toBe(true);
    fail();
    await running.beforeApplicationShutdown();
    running.tick(slow);
    expect(starts).toBe(2);
    timers.forEach(clearInterval);
  });
  it('runs what is the leader\'s on the leader only', async () => {
    const ran: string[] = [];
    const tasks = [task('one', async () => void ran.push('one')), task('all', async () => void ran.push('all'), 'each')];
    const { timers } = await schedule(tasks, false);
    expect(ran).toEqual(['all']);
    timers.forEach(clearInterval);
  });
});
