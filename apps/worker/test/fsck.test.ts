import { createLogger } from '@fleetroot/telemetry';
import type { InspectionReport } from '@fleetroot/authority';
import { describe, expect, it } from 'vitest';
import { fsckTask, lastTurn } from '../src/tasks/fsck.ts';

const report = (breaches: InspectionReport['breaches'] = []): InspectionReport => ({
  beganAt: new Date('2026-11-22T02:00:05Z'), endedAt: new Date('2026-11-22T02:00:06Z'), checked: { certificates: 1 }, notes: [],
  auditHead: { seq: 7n, hash: 'ab' }, breaches, more: 0,
});

it.each([
  ['2026-11-22T01:59:59Z', 2, '2026-11-21T02:00:00Z'],
  ['2026-11-22T02:00:00Z', 2, '2026-11-22T02:00:00Z'],
  ['2026-11-22T23:59:59Z', 0, '2026-11-22T00:00:00Z'],
])('at %s the turn of hour %i was last at %s', (now, hour, last) => {
  expect(lastTurn(new Date(now), hour)).toEqual(new Date(last));
});

/** Ticks at each time; what was run and stored. */
async function nights(started: string, ticks: readonly string[], last: string | undefined, found: InspectionReport = report(), stored = true) {
  let now = new Date(started);
  let latest = last === undefined ? undefined : { beganAt: new Date(last) };
  let runs = 0;
  const records: { since: Date; action: string; breaches: number }[] = [];
  const lines: string[] = [];
  const task = fsckTask({
    inspect: async () => {
      runs++;
      return found;
    },
    inspections: {
      latest: async () => latest,
      record: async (run, since, event) => {
        records.push({ since, action: event.action, breaches: run.breaches });
        if (stored) latest = { beganAt: now };
        return stored;
      },
    },
    hour: 2, clock: { now: () => now }, everyMs: 1000,
    logger: createLogger({ role: 'worker', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
  });
  for (const tick of ticks) {
    now = new Date(tick);
    await task.run(new AbortController().signal);
  }
  return { runs, records, lines };
}

describe('the nightly inspection', () => {
  it.each([
    ['a new installation waits for its first night', '2026-11-21T12:00:00Z', ['2026-11-21T12:00:10Z', '2026-11-22T01:59:00Z'], undefined, 0],
    ['it is made once a night', '2026-11-21T12:00:00Z', ['2026-11-22T02:00:00Z', '2026-11-22T02:00:10Z', '2026-11-22T23:00:00Z'], undefined, 1],
    ['and the next night again', '2026-11-21T12:00:00Z', ['2026-11-22T02:00:00Z', '2026-11-23T02:00:00Z'], undefined, 2],
    ['a missed night is made up for', '2026-11-22T12:00:00Z', ['2026-11-22T12:00:10Z'], '2026-11-21T02:00:00Z', 1],
    ['one that another worker made is not made again', '2026-11-22T12:00:00Z', ['2026-11-22T12:00:10Z'], '2026-11-22T02:00:01Z', 0],
  ])('%s', async (_, started, ticks, last, runs) => {
    expect((await nights(started, ticks, last)).runs).toBe(runs);
  });

  it('puts on record and says what was found', async () => {
    const { records, lines } = await nights('2026-11-21T12:00:00Z', ['2026-11-22T02:00:10Z'], undefined,
      report([{ invariant: 'I3', check: 'serial-unique', subject: 'serial 01', detail: 'twice' }]));
    expect(records).toEqual([{ since: new Date('2026-11-22T02:00:00Z'), action: 'ledger.inspected', breaches: 1 }]);
    expect(lines.map((line) => (JSON.parse(line) as { level: unknown; msg: string }).msg)).toEqual(['fsck: serial 01 twice', expect.stringContaining('docs/fsck.md')]);
  });

  it('says nothing where another worker was faster', async () => {
    const { lines } = await nights('2026-11-21T12:00:00Z', ['2026-11-22T02:00:10Z'], undefined, report(), false);
    expect(lines).toEqual([]);
  });

  it('is not begun once the lead is lost', async () => {
    let runs = 0;
    const task = fsckTask({
      inspect: async () => (runs++, report()), inspections: { latest: async () => ({ beganAt: new Date(0) }), record: async () => true },
      hour: 2, clock: { now: () => new Date() }, everyMs: 1000, logger: createLogger({ role: 'worker', level: 'silent' }),
    });
    await task.run(AbortSignal.abort());
    expect(runs).toBe(0);
  });
});
