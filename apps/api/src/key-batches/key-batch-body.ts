import { type BatchProgress, type KeyCounts, madeKeyTypes } from '@fleetroot/authority';
import { z } from 'zod';
import { progressBody, progressSchema } from '../batches/batch-body.ts';
import { caChoice } from '../ca-choice.ts';

/** Items of one batch; of RSA keys fewer, each of which takes the processor some 150 times as long. */
export const MAX_KEYS = 1000;
export const MAX_RSA_KEYS = 100;

/** Printable ASCII: programs that read PKCS#12 differ in how they encode all else. */
export const keyPassword = z.string().regex(/^[\x20-\x7e]{12,128}$/, { error: 'must have 12 to 128 printable ASCII characters' })
  .meta({ description: '12 to 128 printable ASCII characters; it is not kept' });

const item = z.strictObject({
  ecuSerial: z.string(),
  partNumber: z.string().optional(),
  lot: z.string().optional(),
  vin: z.string().optional(),
}).meta({ id: 'KeyItem' });

const delivery = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('cms'),
    recipient: z.string().max(65_536).meta({ description: 'PEM of a certificate that this installation issued: the keys are encrypted to it' }),
  }),
  z.strictObject({ kind: z.literal('pkcs12'), password: keyPassword }),
]);

export const keyBatchRequest = z.strictObject({
  profile: z.string().max(64),
  ca: caChoice.optional(),
  keyType: z.enum(madeKeyTypes).default('p-256'),
  delivery,
  items: z.array(item).min(1, { error: 'has no item' }).meta({ description: `at most ${MAX_KEYS}, of RSA keys ${MAX_RSA_KEYS}` }),
}).meta({ id: 'KeyBatchRequest' });

export type KeyBatchRequest = z.output<typeof keyBatchRequest>;

export const keyBatchSchema = z.object({
  ...progressSchema.shape,
  delivery: z.enum(['cms', 'pkcs12']).nullable().meta({ description: 'null: every item failed before a key was kept' }),
  keys: z.object({ made: z.int(), delivered: z.int(), deleted: z.int() }),
  expiresAt: z.iso.datetime().nullable().meta({ description: 'when keys are deleted that were not acknowledged' }),
}).meta({ id: 'KeyBatch' });

/** A batch of keys as its owner sees it. */
export function keyBatchBody(batch: BatchProgress, keys: KeyCounts | undefined): z.infer<typeof keyBatchSchema> {
  const { made, delivered, deleted } = keys ?? { made: 0, delivered: 0, deleted: 0 };
  return {
    ...progressBody(batch),
    delivery: keys?.kind ?? null, keys: { made, delivered, deleted }, expiresAt: keys?.expiresAt.toISOString() ?? null,
  };
}
