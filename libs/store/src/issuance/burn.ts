import type { AuditEvent } from '@fleetroot/audit';
import type { LedgerKey } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Transaction } from '../database.ts';
import { askForCrl } from '../status/ask-for-crl.ts';

interface IntentRow {
  readonly id: bigint;
  readonly ca_id: number;
  readonly seed: Buffer;
  readonly signed_at: Date;
  readonly serial_form: 1 | 2;
  readonly not_after: Date;
  readonly first: number;
  readonly items: number;
}

/** What the process that gives a chunk back knows of its attempt; whoever takes over from a dead one knows nothing. */
interface Knowledge {
  /** In place of the event that each intent gets otherwise. */
  readonly told?: AuditEvent | undefined;
  /** Places of items that the HSM was never given: no signature can exist. They are kept with the intent. */
  readonly untouched?: readonly number[];
}

/**
 * Burns the serials of the chunk's open intents: signatures by them may exist outside the ledger, so that each is put on
 * the CRL and none is ever signed again (I8). They are derived again from the committed seed; what the attempt would
 * have refused is burned with the rest, as only its own process knew.
 */
export async function burnOpenIntents(tx: Transaction, key: LedgerKey, chunkId: bigint, { told, untouched = [] }: Knowledge = {}): Promise<void> {
  const spared = new Set(untouched);
  const intents = await tx.query<IntentRow>(
    `UPDATE intent SET state = 'abandoned', untouched = ARRAY(SELECT u FROM unnest($2::int[]) AS u WHERE u >= first AND u < first + items ORDER BY u)
     WHERE chunk_id = $1 AND state = 'open' RETURNING id, ca_id, seed, signed_at, serial_form, not_after, first, items`, [chunkId, [...spared]]);
  for (const intent of intents) {
    const ordinals = Array.from({ length: intent.items }, (_, place) => intent.first + place).filter((ordinal) => !spared.has(ordinal));
    if (ordinals.length === 0) continue;
    await burnSerials(tx, intent.ca_id, intent.id, intent.not_after, ordinals.map(serialOf(key, intent)));
    await askForCrl(tx, intent.ca_id);
  }
  const events = told === undefined ? intents.map((intent) => abandoned(chunkId, intent, spared.size)) : [told];
  for (const event of events) await appendEvent(tx, event);
}

function abandoned(chunkId: bigint, { id, ca_id, first, items, seed }: IntentRow, untouched: number): AuditEvent {
  return {
    action: 'intent.abandoned', actor: 'system:issuer', at: new Date(), subject: `chunk:${chunkId}`,
    data: { intent: String(id), ca: ca_id, first, items, untouched, seed: seed.toString('hex') },
  };
}

/** Burns the serials of single items of an intent: each signature was made, or may have been, and was not stored. */
export async function burnItems(tx: Transaction, key: LedgerKey, intentId: bigint, ordinals: readonly number[]): Promise<void> {
  if (ordinals.length === 0) return;
  const [intent] = await tx.query<IntentRow>('SELECT id, ca_id, seed, signed_at, serial_form, not_after, first, items FROM intent WHERE id = $1', [intentId]);
  if (intent === undefined) return;
  await burnSerials(tx, intent.ca_id, intent.id, intent.not_after, ordinals.map(serialOf(key, intent)));
  await askForCrl(tx, intent.ca_id);
}

const serialOf = (key: LedgerKey, { seed, signed_at, serial_form }: IntentRow) => (ordinal: number): Uint8Array =>
  key.deriveSerial({ seed, signedAt: signed_at, form: serial_form }, ordinal);

async function burnSerials(tx: Transaction, caId: number, intentId: bigint, notAfter: Date, serials: readonly Uint8Array[]): Promise<void> {
  tx.commitsSoon();
  await tx.query(
    `INSERT INTO burned_serial (ca_id, serial, intent_id, not_after, burned_at, shards, shard)
     SELECT $1::int, given.serial, $2::bigint, $3::timestamptz, clock_timestamp(), profile.shards, crl_shard(given.serial, profile.shards)
     FROM unnest($4::bytea[]) AS given (serial),
       (SELECT coalesce((p.document::jsonb ->> 'crlShards')::int, 1) AS shards
        FROM intent i JOIN profile_version p ON p.id = i.profile_version_id WHERE i.id = $2) AS profile
     WHERE NOT EXISTS (SELECT FROM certificate c WHERE c.ca_id = $1 AND c.serial = given.serial)
     ON CONFLICT (ca_id, serial) DO NOTHING`,
    [caId, intentId, notAfter, serials]);
}
