import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import type { Logger } from '@fleetroot/telemetry';
import { type Leadership, RENEW_MS } from './leadership.ts';
import type { Task } from './task.ts';

/** What the schedule runs, and by whose lead: `Schedule`'s token in Nest's container. */
export const SCHEDULED = Symbol('scheduled');

export interface Scheduled {
  readonly tasks: readonly Task[];
  readonly leadership: Leadership;
  readonly logger: Logger;
}

/**
 * Ticks every task at its pace. A task that still runs is not started again; one that fails is logged and runs again at
 * its next tick; none of them stops another.
 */
@Injectable()
export class Schedule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #registry: SchedulerRegistry;
  readonly #scheduled: Scheduled;
  readonly #running = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(@Inject(SchedulerRegistry) registry: SchedulerRegistry, @Inject(SCHEDULED) scheduled: Scheduled) {
    this.#registry = registry;
    this.#scheduled = scheduled;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { leadership, tasks } = this.#scheduled;
    await leadership.renew();
    this.#every('leadership', RENEW_MS, () => this.#once('leadership', () => leadership.renew()));
    for (const task of tasks) {
      this.#every(task.name, task.everyMs, () => this.tick(task));
      this.tick(task);
    }
  }

  /** Runs the task now, unless it still runs or another worker leads. */
  tick(task: Task): void {
    const { leadership, logger } = this.#scheduled;
    if (this.#closing.signal.aborted || (task.runsOn === 'leader' && !leadership.held)) return;
    this.#once(task.name, async () => {
      try {
        await task.run(AbortSignal.any([leadership.signal, this.#closing.signal]));
      } catch (error) {
        // It was broken off, and says so.
        if (this.#closing.signal.aborted && error === this.#closing.signal.reason) return;
        logger.error({ err: error, task: task.name }, 'a scheduled task failed; it runs again at its next turn');
      }
    });
  }

  /** Nest clears the intervals; what runs is told, and waited for; then the lead is given away. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running.values());
    await this.#scheduled.leadership.release();
  }

  #once(name: string, work: () => Promise<void>): void {
    if (this.#running.has(name)) return;
    this.#running.set(name, work().finally(() => this.#running.delete(name)));
  }

  #every(name: string, ms: number, tick: () => void): void {
    this.#registry.addInterval(name, setInterval(tick, ms));
  }
}
