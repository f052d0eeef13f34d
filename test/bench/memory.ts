import { readdirSync, readFileSync } from 'node:fs';

/** Resident memory of the product's Node processes, looked at now and then: MiB at most and at the end, by role. */
export class MemoryWatch {
  readonly #parent: number;
  readonly #timer: NodeJS.Timeout;
  readonly #most = new Map<string, number>();
  readonly #samples = new Map<string, number[]>();

  constructor(parent: number, everyMs = 250) {
    this.#parent = parent;
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  /** role -> the most MiB it had, and the ratio of the last quarter's mean to the second quarter's: 1 is flat. */
  stop(): Map<string, { readonly most: number; readonly growth: number }> {
    clearInterval(this.#timer);
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    return new Map([...this.#most].map(([role, most]) => {
      const samples = this.#samples.get(role) ?? [];
      const quarter = Math.floor(samples.length / 4);
      return [role, { most, growth: mean(samples.slice(-quarter)) / mean(samples.slice(quarter, 2 * quarter)) }];
    }));
  }

  #look(): void {
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        const status = readFileSync(`/proc/${entry}/status`, 'utf8');
        if (!status.includes(`\nPPid:\t${this.#parent}\n`)) continue;
        const role = /apps\/(\w+)\/dist/.exec(readFileSync(`/proc/${entry}/cmdline`, 'utf8'))?.[1];
        const resident = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
        if (role === undefined || Number.isNaN(resident)) continue;
        this.#most.set(role, Math.max(this.#most.get(role) ?? 0, resident));
        this.#samples.set(role, [...(this.#samples.get(role) ?? []), resident]);
      } catch {
        // The process ended while we looked at it.
      }
    }
  }
}
