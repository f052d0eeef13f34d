import { setTimeout as sleep } from 'node:timers/promises';
import type { RestClient } from '../rest.ts';
import type { OutputFile } from './output-file.ts';
import type { Patience } from './patience.ts';

/** A batch as `GET /v1/batches/{id}` tells it. */
export interface BatchBody {
  readonly id: string;
  readonly profile: string;
  readonly state: 'receiving' | 'accepted' | 'done';
  readonly items: number;
  readonly issued: number;
  readonly failed: number;
  readonly pending: number;
  readonly createdAt: string;
  readonly completedAt: string | null;
  readonly cancelledAt: string | null;
  readonly resendOf: string | null;
  readonly failures: Readonly<Record<string, number>>;
  readonly ratePerSecond: number | null;
  readonly secondsLeft: number | null;
}

export interface FollowParts {
  readonly client: RestClient;
  readonly patience: Patience;
  readonly batch: string;
  readonly items: number;
  readonly format: 'der' | 'pem';
  readonly output: OutputFile;
  readonly onResult: (results: number) => void;
  readonly signal: AbortSignal;
}

const LF = 0x0a;
/** Before an API is asked again that had nothing to say. */
const IDLE_MS = 1_000;

/**
 * Takes the results into the output as they come, until there is one for each item; goes on where a connection broke, or
 * an earlier run.
 * @throws LineError
 */
export async function followResults(parts: FollowParts): Promise<void> {
  const { client, patience, batch, items, output, onResult, signal } = parts;
  onResult(output.next);
  while (output.next < items) {
    const before = output.next;
    await patience.over(() => takeResults(parts));
    if (output.next >= items) return;
    // It ended early, or nothing was issued for a while: whether the API and the batch are there, is told by this.
    await patience.over(() => client.get(`/v1/batches/${batch}`));
    if (output.next === before) await sleep(IDLE_MS, undefined, { signal });
  }
}

async function takeResults({ client, patience, batch, format, output, onResult }: FollowParts): Promise<void> {
  const stream = await client.stream(`/v1/batches/${batch}/certificates?from=${output.next}&format=${format}`);
  let pieces: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const end = chunk.lastIndexOf(LF) + 1;
      if (end === 0) {
        pieces.push(chunk);
        continue;
      }
      output.append(Buffer.concat([...pieces, chunk.subarray(0, end)]));
      pieces = [chunk.subarray(end)];
      patience.moved();
      onResult(output.next);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'UND_ERR_BODY_TIMEOUT') throw error;
  }
}
