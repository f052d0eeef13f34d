import { z } from 'zod';

/**
 * Every job there is. A payload holds ids only: the queue is never the only copy of anything (I20). `role` is the app
 * that must handle it; that app's runner refuses to start with a handler missing or one too many.
 */
export const jobCatalogue = {
  'issue-chunk': { role: 'issuer', payload: z.object({ chunkId: z.string().regex(/^\d+$/) }).strict() },
  'publish-crl': { role: 'issuer', payload: z.object({ caId: z.number().int().positive() }).strict() },
} as const;

export type JobName = keyof typeof jobCatalogue;
export type JobPayload<N extends JobName> = z.infer<(typeof jobCatalogue)[N]['payload']>;
export type JobRole = (typeof jobCatalogue)[JobName]['role'];
