import { setTimeout as sleep } from 'node:timers/promises';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@fleetroot/store';
import type { Secret } from '@fleetroot/core';
import { children } from '../support/faults.ts';

/** A PostgreSQL beside the product, as on a machine of its own, which a test takes away and gives back. */
export class FaultPostgres {
  readonly #dataDir: string;
  #running: EmbeddedPostgres;
  #ended = false;

  private constructor(dataDir: string, running: EmbeddedPostgres) {
    this.#dataDir = dataDir;
    this.#running = running;
  }

  /** The folder must be one that others may pass through. */
  static async start(dataDir: string): Promise<FaultPostgres> {
    const ended = { yet: (): void => undefined };
    const postgres = new FaultPostgres(dataDir, await startEmbeddedPostgres({ dataDir, onNotice: () => undefined, onExit: () => ended.yet() }));
    ended.yet = () => { postgres.#ended = true; };
    return postgres;
  }

  get adminUrl(): Secret {
    return this.#running.adminUrl;
  }

  get port(): number {
    return this.#running.port;
  }

  /** It went by itself: a full disk, chiefly. */
  get ended(): boolean {
    return this.#ended;
  }

  /** As a power cut takes it. */
  async kill(): Promise<void> {
    const all = this.#pids();
    for (const pid of all) signal(pid, 'SIGKILL');
    while (this.#pids().length > 0) await sleep(20);
    this.#ended = true;
  }

  /** An orderly end. */
  async stop(): Promise<void> {
    await this.#running.stop();
    this.#ended = true;
  }

  /** Again, on the same port; resolves when it answers. */
  async start(): Promise<void> {
    this.#running = await startEmbeddedPostgres({
      dataDir: this.#dataDir, port: this.#running.port, onNotice: () => undefined, onExit: () => { this.#ended = true; },
    });
    this.#ended = false;
  }

  /** Its connections stay, and nothing answers, until `thaw`. */
  freeze(): void {
    for (const pid of this.#pids()) signal(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of this.#pids().toReversed()) signal(pid, 'SIGCONT');
  }

  /** The postmaster first: what is stopped starts no more. */
  #pids(): number[] {
    return [this.#running.pid, ...children([this.#running.pid], /postgres/)].filter((pid) => alive(pid));
  }
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}
