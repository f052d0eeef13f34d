import { z } from 'zod';

const chunkJob = {
  role: 'issuer',
  payload: z.object({ chunkId: z.string().regex(/^\d+$/) }).strict(),
  key: (payload: { readonly chunkId: string }): string => `chunk-${payload.chunkId}`,
  whileActive: 'covered',
} as const;

/**
 * Every job there is. A payload holds ids only: the queue is never the only copy of anything (I20). `role` is the app
 * that must handle it; that app's runner refuses to start with a handler missing or one too many.
 *
 * `key` names what the job is about. Of several requests with one key only one job waits. `whileActive` says what
 * becomes of a request that comes while a job of that key is being worked on:
 * - `covered`: nothing. Whoever asks looks at the ledger again, and asks again where the work is still not done.
 * - `queued`: one more job waits. What was committed before the request is then seen by the job that it leads to, even
 *   where the active one had read the ledger a moment too early: a revocation is never left off the CRL.
 */
export const jobCatalogue = {
  'issue-chunk': chunkJob,
  /** A chunk for ECUs in the field, in a queue of its own: in one with the line's, a wave of renewals would take every place. */
  'renew-chunk': chunkJob,
  'publish-crl': {
    role: 'issuer',
    payload: z.object({ caId: z.number().int().positive() }).strict(),
    key: (payload: { readonly caId: number }): string => `crl-${payload.caId}`,
    whileActive: 'queued',
  },
  'publish-filter': {
    role: 'issuer',
    payload: z.object({ caId: z.number().int().positive() }).strict(),
    key: (payload: { readonly caId: number }): string => `filter-${payload.caId}`,
    whileActive: 'queued',
  },
} as const;

export type JobName = keyof typeof jobCatalogue;
export type JobPayload<N extends JobName> = z.infer<(typeof jobCatalogue)[N]['payload']>;
export type JobRole = (typeof jobCatalogue)[JobName]['role'];

export const jobNames = Object.keys(jobCatalogue) as readonly JobName[];

export function isJobName(text: string): text is JobName {
  return Object.hasOwn(jobCatalogue, text);
}

/** The payload as the catalogue wants it, or undefined where it is anything else. */
export function parsePayload<N extends JobName>(name: N, payload: unknown): JobPayload<N> | undefined {
  const parsed = jobCatalogue[name].payload.safeParse(payload);
  return parsed.success ? (parsed.data as JobPayload<N>) : undefined;
}

/** What the job is about; see `jobCatalogue`. */
export function jobKey<N extends JobName>(name: N, payload: JobPayload<N>): string {
  const { key } = jobCatalogue[name] as unknown as { key: (of: JobPayload<N>) => string };
  return key(payload);
}
