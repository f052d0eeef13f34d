import type { AuditEvent } from '@fleetroot/audit';
import type { ClaimedChunk, FailedItem, IssuedItem } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import { sendEvent } from '../audit-log.ts';
import { insertFailures } from '../batches/append.ts';
import type { Database, Transaction } from '../database.ts';
import { isBlockedKey } from '../errors.ts';
import { distinctTimes, numberList, packColumn } from '../packed.ts';
import { burnItems } from './burn.ts';
import { lockStoring, requireUnblocked, revokeCompromised } from './compromised-meanwhile.ts';

/** See IssuanceLedger.complete. All of it goes to the database in one trip; where that finds a key blocked, once more in steps. */
export async function completeChunk(
  database: Database, key: LedgerKey, chunk: ClaimedChunk, intentId: bigint | undefined,
  issued: readonly IssuedItem[], failed: readonly FailedItem[], event: AuditEvent,
): Promise<void> {
  if (issued.length > 0 && intentId === undefined) throw new PkiError('internal', 'certificates without an intent');
  const complete = (blocked: boolean): Promise<void> => database.transaction((tx) => put(tx, key, chunk, intentId, issued, failed, event, blocked));
  try {
    await complete(false);
  } catch (error) {
    if (!isBlockedKey(error)) throw error;
    await complete(true);
  }
}

async function put(
  tx: Transaction, key: LedgerKey, chunk: ClaimedChunk, intentId: bigint | undefined,
  issued: readonly IssuedItem[], failed: readonly FailedItem[], event: AuditEvent, blocked: boolean,
): Promise<void> {
  if (issued.length > 0) lockStoring(tx);
  if (issued.length > 0 && !blocked) requireUnblocked(tx, issued);
  // The fence is checked first and holds the row: whoever takes over later finds the chunk done. Where it is stale, nothing
  // that is sent after it counts. The sum of outcomes is checked by the table itself.
  void tx.send(
    `WITH done AS (
       UPDATE chunk SET state = 'done', sealed = NULL, issued = $3, failed = failed + $4, done_at = clock_timestamp()
       WHERE id = $1 AND fence = $2 AND state = 'signing' RETURNING 1)
     SELECT require_row(count(*)) FROM done`,
    [chunk.chunkId, chunk.fence, issued.length, failed.length]);
  if (intentId !== undefined) {
    closeIntent(tx, chunk, intentId);
    insertCertificates(tx, chunk, intentId, issued);
  }
  await insertFailures(tx, chunk.chunkId, failed);
  if (intentId !== undefined) {
    await burnItems(tx, key, intentId, failed.filter(({ code }) => code === 'issuance.abandoned').map(({ ordinal }) => ordinal));
  }
  if (intentId !== undefined && blocked) await revokeCompromised(tx, chunk, intentId, issued);
  sendEvent(tx, event);
  // After the event: its lock lets one chunk at a time come here, so that of two last chunks the later one sees the other.
  void tx.send(
    `UPDATE batch SET state = 'done', completed_at = clock_timestamp() WHERE id = $1 AND state = 'accepted'
       AND NOT EXISTS (SELECT FROM chunk WHERE batch_id = $1 AND state <> 'done')`, [chunk.batchId]);
  void tx.send(`SELECT pg_notify('fleetroot_chunk', $1)`, [String(chunk.chunkId)]);
}

function closeIntent(tx: Transaction, chunk: ClaimedChunk, intentId: bigint): void {
  void tx.send(
    `WITH closed AS (UPDATE intent SET state = 'stored' WHERE id = $1 AND chunk_id = $2 AND fence = $3 AND state = 'open' RETURNING 1)
     SELECT require_row(count(*)) FROM closed`,
    [intentId, chunk.chunkId, chunk.fence]);
}

/** The CA is the intent's: of a batch whose CA was followed by another generation that one has signed. */
function insertCertificates(tx: Transaction, chunk: ClaimedChunk, intentId: bigint, issued: readonly IssuedItem[]): void {
  if (issued.length === 0) return;
  const serials = packColumn(issued.map(({ serial }) => serial));
  const ders = packColumn(issued.map(({ der }) => der));
  const begins = distinctTimes(issued.map(({ notBefore }) => notBefore));
  const ends = distinctTimes(issued.map(({ notAfter }) => notAfter));
  void tx.send(
    // unnest fills what is shorter up with NULL: a column that has nothing to say is sent empty.
    `INSERT INTO certificate (ca_id, profile_version_id, chunk_id, intent_id, issued_at, ordinal, ecu_serial, subject_name,
       not_before, not_after, serial, spki_sha256, der)
     SELECT (SELECT ca_id FROM intent WHERE id = $1::bigint), $2::int, $3::bigint, $4::bigint, clock_timestamp(), ordinal, ecu_serial, subject_name,
       ($11::timestamptz[])[coalesce(begins, 1)], ($12::timestamptz[])[coalesce(ends, 1)],
       substring($5::bytea FROM serial_at FOR serial_length), substring($6::bytea FROM (32 * place - 31)::int FOR 32),
       substring($7::bytea FROM der_at FOR der_length)
     FROM unnest($8::int[], $9::text[], $10::text[], $13::int[], $14::int[], $15::int[], $16::int[], $17::int[], $18::int[]) WITH ORDINALITY
       AS item (ordinal, ecu_serial, subject_name, begins, ends, serial_at, serial_length, der_at, der_length, place)`,
    [
      intentId, chunk.profileVersionId, chunk.chunkId, intentId, serials.blob, Buffer.concat(issued.map(({ spkiSha256 }) => spkiSha256)), ders.blob,
      numberList(issued.map(({ ordinal }) => ordinal)), unlessEmpty(issued.map(({ ecuSerial }) => ecuSerial ?? null)),
      unlessEmpty(issued.map(({ subjectName }) => subjectName ?? null)), begins.times, ends.times, begins.places, ends.places,
      serials.at, serials.length, ders.at, ders.length,
    ]);
}

const unlessEmpty = <T>(column: readonly (T | null)[]): readonly (T | null)[] => (column.every((value) => value === null) ? [] : column);
