import { crashPoint } from '@fleetroot/core';
import { isJobName, parsePayload } from './jobs.ts';
import type { JobProducer, NewJob } from './job-producer.ts';

export interface OutboxRow {
  readonly id: bigint;
  /** A name of the job catalogue. */
  readonly job: string;
  readonly payload: unknown;
  readonly priority: number;
}

/** The rows that changes of the ledger left behind, in their own transactions. */
export interface Outbox {
  /** The rows of the highest priority, of these the oldest; at most `limit`. */
  pending(limit: number): Promise<readonly OutboxRow[]>;
  /** Rows that are gone already are no fault. */
  remove(ids: readonly bigint[]): Promise<void>;
}

export interface Relayed {
  readonly published: number;
  /** Rows that no job can be made of: they are removed, since nothing will ever mend them. */
  readonly refused: readonly OutboxRow[];
}

/** Small, so that a single request which comes meanwhile is not behind a large batch: it is in the next page. */
const PAGE = 100;

/**
 * Publishes what the outbox holds and removes it then: each row leads to a job at least once. Two that run at once, or
 * one that dies between publishing and removing, publish a row twice; the second job is folded into the first, or finds
 * its work done.
 * @throws PkiError `queue.unavailable`: what is not published stays
 */
export async function relayOutbox(outbox: Outbox, producer: Pick<JobProducer, 'addMany'>): Promise<Relayed> {
  let published = 0;
  const refused: OutboxRow[] = [];
  for (;;) {
    const rows = await outbox.pending(PAGE);
    if (rows.length === 0) return { published, refused };
    crashPoint('outbox.read');
    const jobs: NewJob[] = [];
    for (const row of rows) {
      const job = toJob(row);
      if (job === undefined) refused.push(row);
      else jobs.push(job);
    }
    await producer.addMany(jobs);
    crashPoint('outbox.relayed');
    await outbox.remove(rows.map((row) => row.id));
    published += jobs.length;
    if (rows.length < PAGE) return { published, refused };
  }
}

function toJob(row: OutboxRow): NewJob | undefined {
  if (!isJobName(row.job)) return undefined;
  const payload = parsePayload(row.job, row.payload);
  return payload === undefined ? undefined : ({ name: row.job, payload, priority: row.priority } as NewJob);
}
