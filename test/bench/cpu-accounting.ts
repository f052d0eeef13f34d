import { availableParallelism } from 'node:os';
import { CLIENT, componentsOf, type Installation, POSTGRES, QUEUE } from './components.ts';
import { type MachineTicks, machineTicks, type ProcessEntry, readProcesses, TICKS_A_SECOND } from './processes.ts';

/** The processor times of one moment. */
export interface CpuSnapshot {
  /** Milliseconds, of a clock that only grows. */
  readonly at: number;
  readonly machine: MachineTicks;
  /** component -> ticks so far. */
  readonly ticks: ReadonlyMap<string, number>;
}

/** Where the processors' time went between two snapshots, in seconds of one processor. */
export interface CpuUse {
  readonly seconds: number;
  /** component -> seconds that its processes computed. */
  readonly components: ReadonlyMap<string, number>;
  /** Other processes of this machine, interrupts, and what the hypervisor took away. */
  readonly others: number;
  /** What no process used, of all processors: idle, or waiting for a disk. */
  readonly idle: number;
}

/** Ended children are in their parents' figures, so that a component's sum never falls as long as its first process lives. */
export function sumTicks(processes: readonly ProcessEntry[], components: ReadonlyMap<number, string>): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { pid, ticks } of processes) {
    const component = components.get(pid);
    if (component !== undefined) sums.set(component, (sums.get(component) ?? 0) + ticks);
  }
  return sums;
}

/** Adds up to `processors` times `seconds`, by definition: `idle` is what nobody used. */
export function cpuUse(before: CpuSnapshot, after: CpuSnapshot, processors: number): CpuUse {
  const seconds = (after.at - before.at) / 1000;
  const components = new Map([...after.ticks].map(([name, ticks]) => [name, Math.max(0, ticks - (before.ticks.get(name) ?? 0)) / TICKS_A_SECOND]));
  const ours = sum(components.values());
  const others = Math.max(0, (after.machine.busy - before.machine.busy) / TICKS_A_SECOND - ours);
  return { seconds, components, others, idle: Math.max(0, processors * seconds - ours - others) };
}

/** Seconds that an installation has computed since it began, of processes that run. */
export function secondsSoFar(installation: Installation): number {
  const { ticks } = takeSnapshot(installation);
  return sum([...ticks].filter(([component]) => component !== CLIENT).map(([, count]) => count)) / TICKS_A_SECOND;
}

export function takeSnapshot(installation: Installation): CpuSnapshot {
  const processes = readProcesses();
  return { at: performance.now(), machine: machineTicks(), ticks: sumTicks(processes, componentsOf(processes, installation)) };
}

/** The order of the parts in reports. */
const ORDER = ['api', 'issuer', 'HSM', POSTGRES, QUEUE, 'worker', 'status', 'up', CLIENT];

const place = (component: string): number => ORDER.findIndex((name) => component.startsWith(name));

export const byComponent = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number =>
  place(a) - place(b) || a.localeCompare(b, 'en', { numeric: true });

/** Seconds that all parts together computed. */
export const installationSeconds = ({ components }: CpuUse): number => sum(components.values());

/** What others took of all processors, 0 to 1: a figure that was made beside much of it says little. */
export function othersShare(use: CpuUse): number {
  return use.others / (installationSeconds(use) + use.others + use.idle);
}

/** The same with all issuers as one part, and their HSM processes as another. */
export function issuersTogether(use: CpuUse): CpuUse {
  const components = new Map<string, number>();
  for (const [component, seconds] of use.components) {
    const name = component.replace(/^issuer-\d+$/, 'issuers').replace(/^HSM of issuer-\d+$/, 'HSM of the issuers');
    components.set(name, (components.get(name) ?? 0) + seconds);
  }
  return { ...use, components };
}

/** What several measurements used in all. */
export function sumUses(uses: readonly CpuUse[]): CpuUse {
  const components = new Map<string, number>();
  for (const use of uses) for (const [name, seconds] of use.components) components.set(name, (components.get(name) ?? 0) + seconds);
  const total = (of: (use: CpuUse) => number): number => sum(uses.map(of));
  return { seconds: total((use) => use.seconds), components, others: total((use) => use.others), idle: total((use) => use.idle) };
}

/** Rows of a report, in microseconds of processor time for one of `count` certificates. They add up to all there was. */
export function microsPerCertificate(use: CpuUse, count: number): { readonly name: string; readonly value: number }[] {
  const micros = (seconds: number): number => (seconds * 1e6) / count;
  return [
    ...[...use.components].toSorted(byComponent).map(([component, seconds]) => ({ name: component, value: micros(seconds) })),
    { name: 'other work on the machine', value: micros(use.others) },
    { name: `idle or waiting, of ${availableParallelism()} processors`, value: micros(use.idle) },
  ];
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
