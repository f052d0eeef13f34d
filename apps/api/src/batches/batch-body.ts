import type { BatchProgress } from '@fleetroot/authority';
import { z } from 'zod';

export const batchSchema = z.object({
  id: z.uuid(),
  profile: z.string(),
  state: z.enum(['receiving', 'accepted', 'done']),
  items: z.int().nonnegative(),
  issued: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  pending: z.int().nonnegative(),
  createdAt: z.iso.datetime(),
  completedAt: z.iso.datetime().nullable(),
}).meta({ id: 'Batch', description: 'issued + failed + pending = items, at any time' });

/** A batch as callers see it. */
export function batchBody(batch: BatchProgress): z.infer<typeof batchSchema> {
  const { id, profile, state, items, issued, failed, pending, createdAt, completedAt } = batch;
  return {
    id, profile, state, items, issued, failed, pending,
    createdAt: createdAt.toISOString(), completedAt: completedAt?.toISOString() ?? null,
  };
}
