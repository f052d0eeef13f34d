import type { BatchProgress, BatchSummary } from '@fleetroot/authority';
import { z } from 'zod';

/** What every kind of batch has. */
export const progressSchema = z.object({
  id: z.uuid(),
  profile: z.string(),
  state: z.enum(['receiving', 'accepted', 'done']),
  items: z.int().nonnegative(),
  issued: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  pending: z.int().nonnegative(),
  createdAt: z.iso.datetime(),
  completedAt: z.iso.datetime().nullable(),
});

const fields = {
  ...progressSchema.shape,
  cancelledAt: z.iso.datetime().nullable().meta({ description: 'items that were not in work by then failed with batch.cancelled' }),
  resendOf: z.uuid().nullable().meta({ description: 'the batch whose failed items it sends again' }),
};

export const listedBatchSchema = z.object(fields).meta({ id: 'ListedBatch' });

export const batchSchema = z.object({
  ...fields,
  failures: z.record(z.string(), z.int().positive()).meta({ description: 'failed items by code' }),
  ratePerSecond: z.number().nonnegative().nullable().meta({ description: 'items settled a second, of late; null where it is not running or began just now' }),
  secondsLeft: z.int().nonnegative().nullable().meta({ description: 'at that rate; null where nobody can tell' }),
}).meta({ id: 'Batch', description: 'issued + failed + pending = items, at any time' });

export function progressBody(batch: BatchProgress): z.infer<typeof progressSchema> {
  const { id, profile, state, items, issued, failed, pending, createdAt, completedAt } = batch;
  return {
    id, profile, state, items, issued, failed, pending,
    createdAt: createdAt.toISOString(), completedAt: completedAt?.toISOString() ?? null,
  };
}

/** A batch as callers see it in a list. */
export function listedBatchBody(batch: BatchProgress): z.infer<typeof listedBatchSchema> {
  const { cancelledAt, resendOf } = batch;
  return { ...progressBody(batch), cancelledAt: cancelledAt?.toISOString() ?? null, resendOf: resendOf ?? null };
}

/** A batch as callers see it. */
export function batchBody(batch: BatchSummary): z.infer<typeof batchSchema> {
  const { failures, ratePerSecond = null, secondsLeft = null } = batch;
  return { ...listedBatchBody(batch), failures, ratePerSecond, secondsLeft };
}
