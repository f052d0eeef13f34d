import { readdirSync, readFileSync } from 'node:fs';

/** A process as /proc shows it (proc(5)). */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** Of user and system time; its children that have ended and been waited for included. */
  readonly ticks: number;
  /** Arguments, or the title that the process has given itself. */
  readonly command: string;
}

/** The kernel tells times in ticks of 10 ms to every program, whatever it counts in itself (USER_HZ, time(7)). */
export const TICKS_A_SECOND = 100;

/** Fields of /proc/PID/stat. The second is the name in parentheses, which may hold spaces and parentheses itself. */
export function parseStat(stat: string): Omit<ProcessEntry, 'command'> {
  const end = stat.lastIndexOf(')');
  // Those after the name begin with the third of proc(5), the state.
  const fields = stat.slice(end + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return { pid: Number.parseInt(stat, 10), parent: field(4), ticks: field(14) + field(15) + field(16) + field(17) };
}

/** Ticks of all processors together, by the first line of /proc/stat. */
export interface MachineTicks {
  /** Somebody computed, or the hypervisor had taken the processor away. */
  readonly busy: number;
  /** Nothing to do, or waiting for a disk. */
  readonly idle: number;
}

export function parseMachineStat(stat: string): MachineTicks {
  // cpu user nice system idle iowait irq softirq steal; guest times are part of user and nice.
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] =
    stat.slice(0, stat.indexOf('\n')).trim().split(/\s+/).slice(1).map(Number);
  return { busy: user + nice + system + irq + softirq + steal, idle: idle + iowait };
}

/** Nanoseconds of a process's main thread, by /proc/PID/schedstat: since it began. */
export interface MainThread {
  readonly ran: number;
  /** It was ready, and no processor was free for it. */
  readonly waitedForProcessor: number;
}

export function parseSchedstat(schedstat: string): MainThread {
  const [ran = Number.NaN, waited = Number.NaN] = schedstat.trim().split(' ').map(Number);
  return { ran, waitedForProcessor: waited };
}

export const mainThread = (pid: number): MainThread => parseSchedstat(readFileSync(`/proc/${pid}/schedstat`, 'utf8'));

export const machineTicks = (): MachineTicks => parseMachineStat(readFileSync('/proc/stat', 'utf8'));

/** Every process of the machine. */
export function readProcesses(): ProcessEntry[] {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ ...parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')), command }];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}
