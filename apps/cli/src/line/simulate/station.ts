import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { ApiRefusal, type RestClient } from '../rest.ts';
import type { Figures } from './figures.ts';
import { type Burst, bursts, type CarTimes } from './mix.ts';
import type { MadeRequest } from './workshop-worker.ts';
import type { Workshop } from './workshop.ts';

export type Mode = 'single' | 'batch';

export interface StationParts {
  readonly client: RestClient;
  readonly mode: Mode;
  readonly profile: string;
  readonly ca: string | undefined;
  readonly burst: number;
  readonly figures: Figures;
  readonly workshop: Workshop;
  /** When the line began, by performance.now(). */
  readonly began: number;
  readonly signal: AbortSignal;
}

/** A certificate, and when it was there. */
interface Got {
  readonly certificate: Uint8Array | string;
  readonly at: number;
}

/**
 * Does one car: its bursts at their times, whether those before were answered or not. A latency counts from the moment at
 * which the request was due, so that a slow answer is not hidden by what it holds up.
 */
export async function doCar(times: CarTimes, requests: readonly MadeRequest[], parts: StationParts): Promise<void> {
  const { began, figures, burst, signal } = parts;
  let last = 0;
  let wrong = false;
  await Promise.all(bursts(times, requests.length, burst).map(async (each) => {
    const wait = began + each.at - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal });
    await doBurst(each, requests.slice(each.from, each.to), parts, (outcome) => {
      if (typeof outcome === 'string') wrong = true;
      else last = Math.max(last, outcome);
      if (!times.measured) return;
      if (typeof outcome === 'string') figures.error(outcome);
      else figures.certificate(outcome - began - each.at);
    });
  }));
  if (times.measured) figures.car(wrong || last - began > times.end);
}

/** `tell` gets a code where a request went wrong, or when its certificate was there. */
async function doBurst(burst: Burst, requests: readonly MadeRequest[], parts: StationParts, tell: (outcome: string | number) => void): Promise<void> {
  const { workshop, signal } = parts;
  const settle = async (request: MadeRequest, work: Promise<Got>): Promise<void> => {
    try {
      const { certificate, at } = await work;
      tell(await workshop.check(request.spkiDer, certificate) ?? at);
    } catch (error) {
      signal.throwIfAborted();
      tell(codeOf(error));
    }
  };
  const work = parts.mode === 'single' ? requests.map((request) => askOne(request, parts)) : askAll(requests, parts);
  await Promise.all(requests.map((request, i) => settle(request, work[i] ?? Promise.reject(new Error('no answer')))));
}

async function askOne({ line }: MadeRequest, { client, profile, ca }: StationParts): Promise<Got> {
  const body = { profile, ...(ca === undefined ? {} : { ca }), ...(JSON.parse(line) as object) };
  const { certificate } = await client.post('/v1/certificates', body, { 'idempotency-key': randomUUID() }) as { certificate: string };
  return { certificate, at: performance.now() };
}

/** One small batch; each certificate counts when its line has come. */
function askAll(requests: readonly MadeRequest[], { client, profile, ca }: StationParts): Promise<Got>[] {
  const waiting = requests.map(() => Promise.withResolvers<Got>());
  const read = async (): Promise<void> => {
    const query = `?profile=${encodeURIComponent(profile)}${ca === undefined ? '' : `&ca=${encodeURIComponent(ca)}`}`;
    const { id } = await client.json('POST', `/v1/batches${query}`, {
      body: Readable.from(requests.map(({ line }) => `${line}\n`)), headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': randomUUID() },
    }) as { id: string };
    for await (const result of client.results(id)) {
      const at = performance.now();
      if (result.outcome === 'issued') waiting[result.ordinal]?.resolve({ certificate: Buffer.from(result.certificate, 'base64'), at });
      else waiting[result.ordinal]?.reject(Object.assign(new Error(result.code), { code: result.code }));
    }
    throw new Error('the results ended early');
  };
  read().catch((error: unknown) => {
    // Those that are settled stay as they are.
    for (const { reject } of waiting) reject(error instanceof Error ? error : new Error(String(error)));
  });
  return waiting.map(({ promise }) => promise);
}

function codeOf(error: unknown): string {
  if (error instanceof ApiRefusal) return error.code ?? `http.${error.status}`;
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } };
  return typeof code === 'string' ? code : typeof cause?.code === 'string' ? cause.code : 'internal';
}
