import { Controller, type DynamicModule, Get, Inject, Module, Res } from '@nestjs/common';
import { isPkiError } from '@fleetroot/core';
import type { FastifyReply } from 'fastify';
import { Public } from './route.ts';

export interface HealthOptions {
  readonly role: string;
  /** By name; one that throws, or takes over two seconds, is not ready. One may be ready with less than it should have. */
  readonly checks: Readonly<Record<string, () => Promise<Degraded | void>>>;
}

/** Ready, and something is wrong: words for everybody, and since when. */
export interface Degraded {
  readonly reason: string;
  readonly since: Date;
}

/** What a check throws to have its words shown to everybody. */
export class NotReady extends Error {
  override readonly name = 'NotReady';
}

interface Outcome {
  readonly ready: boolean;
  readonly reason?: string;
  /** Ready, with less than it should have. */
  readonly degraded?: true;
  readonly since?: string;
}

interface Readiness {
  readonly ready: boolean;
  readonly degraded?: true;
  readonly checks: Readonly<Record<string, Outcome>>;
}

const HEALTH = Symbol('health');
const CHECK_TIMEOUT_MS = 2_000;
/** How long an answer is given again: the checks cost queries, and the route is open. */
const FRESH_MS = 500;

/** Runs every check at once. */
export async function readiness(checks: HealthOptions['checks']): Promise<Readiness> {
  const entries = await Promise.all(Object.entries(checks).map(async ([name, check]) => [name, await outcome(check)] as const));
  const degraded = entries.some(([, outcome]) => outcome.degraded === true);
  return { ready: entries.every(([, { ready }]) => ready), ...(degraded ? { degraded } : {}), checks: Object.fromEntries(entries) };
}

async function outcome(check: () => Promise<Degraded | void>): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('late')), CHECK_TIMEOUT_MS);
  });
  try {
    const degraded = await Promise.race([check(), late]);
    return degraded === undefined ? { ready: true } : { ready: true, degraded: true, reason: degraded.reason, since: degraded.since.toISOString() };
  } catch (error) {
    // Only our own words: what a driver says may hold an address or a user name.
    const ours = error instanceof NotReady || (isPkiError(error) && error.kind !== 'internal');
    return { ready: false, reason: ours ? error.message : 'the check failed' };
  } finally {
    clearTimeout(timer);
  }
}

@Controller()
class HealthController {
  readonly #options: HealthOptions;
  #last: { readonly at: number; readonly result: Promise<Readiness> } | undefined;

  constructor(@Inject(HEALTH) options: HealthOptions) {
    this.#options = options;
  }

  @Get('healthz') @Public()
  healthz(): { status: string; role: string } {
    return { status: 'ok', role: this.#options.role };
  }

  @Get('readyz') @Public()
  async readyz(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const now = performance.now();
    if (this.#last === undefined || now - this.#last.at > FRESH_MS) {
      this.#last = { at: now, result: readiness(this.#options.checks) };
    }
    const result = await this.#last.result;
    void reply.code(result.ready ? 200 : 503).header('cache-control', 'no-store');
    return result;
  }
}

@Module({})
class HealthModule {}

/** `/healthz` (the process lives) and `/readyz` (200, or 503 that says what is not ready). */
export function healthModule(options: HealthOptions): DynamicModule {
  return { module: HealthModule, controllers: [HealthController], providers: [{ provide: HEALTH, useValue: options }] };
}
