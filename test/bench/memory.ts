import { readFileSync } from 'node:fs';
import { CLIENT, componentsOf, type Installation } from './components.ts';
import { readProcesses } from './processes.ts';

const LOOK_EVERY_MS = 500;
/** So many looks before processes are searched for anew: one may have been started again. */
const SEARCH_EVERY = 40;

/** The parts whose memory is looked at: the product's Node processes, without what only signs, and the client. */
const watched = (component: string): boolean => /^(?:api|worker|status|issuer-\d+)$/.test(component) || component === CLIENT;

export interface MemoryFigures {
  /** MiB, the most that was seen. */
  readonly most: number;
  /** The last quarter's mean over the second quarter's: 1 is flat. */
  readonly growth: number;
}

/** Resident memory, looked at now and then, by component. */
export class MemoryWatch {
  readonly #installation: Installation;
  readonly #timer: NodeJS.Timeout;
  readonly #samples = new Map<string, number[]>();
  #pids = new Map<number, string>();
  #looks = 0;

  constructor(installation: Installation) {
    this.#installation = installation;
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#look();
  }

  stop(): Map<string, MemoryFigures> {
    clearInterval(this.#timer);
    this.#look();
    return new Map([...this.#samples].map(([component, samples]) => [component, memoryFigures(samples)]));
  }

  #look(): void {
    if (this.#looks++ % SEARCH_EVERY === 0) {
      this.#pids = new Map([...componentsOf(readProcesses(), this.#installation)].filter(([, component]) => watched(component)));
    }
    for (const [pid, component] of this.#pids) {
      const resident = residentMiB(pid);
      if (Number.isNaN(resident)) continue;
      const samples = this.#samples.get(component);
      if (samples === undefined) this.#samples.set(component, [resident]);
      else samples.push(resident);
    }
  }
}

export function memoryFigures(samples: readonly number[]): MemoryFigures {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  return {
    most: samples.reduce((most, value) => Math.max(most, value), 0),
    growth: mean(samples.slice(-quarter)) / mean(samples.slice(quarter, 2 * quarter)),
  };
}

function residentMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
