import { type CaState, type ClaimedChunk, may, type NewIntent, type RecordedIntent } from '@fleetroot/authority';
import { type LedgerKey, PkiError } from '@fleetroot/core';
import type { Queryable, Transaction } from '../database.ts';
import { registerEcus } from '../fleet/register-ecus.ts';
import { NewRows } from '../new-rows.ts';
import { advances, requireSaneTime } from '../signing-time.ts';

interface GuardRow {
  readonly name: string;
  readonly state: CaState;
  readonly key_here: boolean;
  /** It, or a CA above it, is revoked. */
  readonly line_revoked: boolean;
  readonly not_before: Date;
  readonly not_after: Date;
  readonly last_signed_at: Date | null;
  readonly profile: string;
  readonly now: Date;
}

type Refused = RecordedIntent['refused'][number];

interface Reserved {
  readonly refused: readonly Refused[];
  /** Each of the keys was put there by this transaction. */
  readonly allNew: boolean;
}

/** What is recorded; `intentId` is there once the transaction is committed. */
interface Recording {
  readonly intentId: Promise<bigint>;
  readonly refused: RecordedIntent['refused'];
}

/** See IssuanceLedger.recordIntent. */
export async function recordIntent(tx: Transaction, key: LedgerKey, chunk: ClaimedChunk, intent: NewIntent): Promise<Recording> {
  const guarded = tx.query<GuardRow>(
    `UPDATE chunk SET claimed_at = clock_timestamp() FROM ca, profile_version p
     WHERE chunk.id = $1 AND chunk.fence = $2 AND chunk.state = 'signing' AND ca.id = $3 AND p.id = $4
     RETURNING ca.name, ca.state, ca.key_id IS NOT NULL AS key_here, ca.not_before, ca.not_after, ca.last_signed_at,
       p.name AS profile, clock_timestamp() AS now, (
         WITH RECURSIVE line (parent_id, revoked_at) AS (
           SELECT ca.parent_id, ca.revoked_at
           UNION SELECT above.parent_id, above.revoked_at FROM line JOIN ca above ON above.id = line.parent_id)
         SELECT bool_or(revoked_at IS NOT NULL) FROM line) AS line_revoked`,
    [chunk.chunkId, chunk.fence, intent.caId, chunk.profileVersionId]);
  // Of a chunk that may not be issued the keys go as they came: the transaction is rolled back.
  const [[guard], reserved] = await Promise.all([guarded, reserveKeys(tx, intent.keys)]);
  if (guard === undefined) throw new PkiError('store.stale-fence');
  // The clock first: by a wrong one a CA looks expired, and its items would fail for good.
  requireSaneTime(intent.signedAt, guard.now, guard.last_signed_at);
  requireIssuing(guard, intent);
  const refused = await admit(tx, key, chunk, intent.keys, reserved);
  const rows = tx.send<{ id: bigint }>(
    `INSERT INTO intent (chunk_id, fence, ca_id, profile_version_id, seed, signed_at, not_after, first, items)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id`,
    [chunk.chunkId, chunk.fence, intent.caId, chunk.profileVersionId, intent.seed, intent.signedAt, intent.notAfter, chunk.first, chunk.items]);
  const intentId = rows.then(([row]) => row?.id ?? Promise.reject(new PkiError('internal', 'an intent was not stored')));
  intentId.catch(() => undefined);
  // Last: the row is every issuer's.
  if (advances(intent.signedAt, guard.last_signed_at)) {
    void tx.send('UPDATE ca SET last_signed_at = GREATEST(last_signed_at, $2) WHERE id = $1', [intent.caId, intent.signedAt]);
  }
  return { intentId, refused };
}

/** One that waits for its turn, or has had it, certifies its OCSP signers and nothing else (I10). */
function requireIssuing(ca: GuardRow, { signedAt, notAfter }: NewIntent): void {
  const refuse = (why: string): never => {
    throw new PkiError('ca.not-active', `the CA ${ca.name} ${why}`);
  };
  if (!may(ca.state, ca.profile === 'ocsp-signer' ? 'status' : 'issue')) refuse(`is ${ca.state}: it does not issue`);
  if (!ca.key_here) refuse('has its key elsewhere: it does not issue here');
  if (ca.line_revoked) refuse('is below a CA that is revoked: it does not issue');
  if (signedAt < ca.not_before || signedAt > ca.not_after) refuse('has a certificate that is not valid now');
  // A leaf never outlives its issuer (I7).
  if (notAfter > ca.not_after) throw new PkiError('internal', 'an item would be valid for longer than its CA');
}

/**
 * Puts the ECUs on record, each only for an item that may be signed, and takes back the keys of the others: this is where
 * a request counts for the first time, and what is refused leaves nothing that could stand in the way of the right request.
 */
async function admit(
  tx: Transaction, key: LedgerKey, { requests }: ClaimedChunk, keys: NewIntent['keys'], { refused, allNew }: Reserved,
): Promise<readonly Refused[]> {
  if (keys.length === 0) return [];
  const out = new Set(refused.map(({ ordinal }) => ordinal));
  const wanted = new Set(keys.map(({ ordinal }) => ordinal));
  const conflicts = await registerEcus(tx, key, requests.filter(({ ordinal }) => wanted.has(ordinal) && !out.has(ordinal)));
  if (conflicts.length === 0) return refused;
  const keyOf = new Map(keys.filter(({ ordinal }) => !out.has(ordinal)).map(({ ordinal, spkiSha256 }) => [ordinal, hex(spkiSha256)]));
  const dropped = new Set(conflicts.map(({ ordinal }) => keyOf.get(ordinal) ?? ''));
  for (const { ordinal } of conflicts) keyOf.delete(ordinal);
  for (const kept of keyOf.values()) dropped.delete(kept);
  // Only what this transaction has put there; a row of a savepoint has another xmin.
  await tx.query('DELETE FROM subject_key WHERE spki_sha256 = ANY($1::bytea[]) AND ($2 OR xmin = pg_current_xact_id()::xid)', [
    keys.filter(({ spkiSha256 }) => dropped.has(hex(spkiSha256))).map(({ spkiSha256 }) => spkiSha256), allNew]);
  return [...refused, ...conflicts];
}

const newKeys = new NewRows();

/** Gives each key the owner that has it from now on; refused are the items whose key is another's or blocked (I11). */
async function reserveKeys(tx: Transaction, keys: NewIntent['keys']): Promise<Reserved> {
  if (keys.length === 0) return { refused: [], allNew: true };
  // One order for everybody: two issuers that reserve the same keys must not wait for each other.
  const sorted = [...keys].sort((a, b) => Buffer.compare(a.spkiSha256, b.spkiSha256) || a.ordinal - b.ordinal);
  const values = [Buffer.concat(sorted.map(({ spkiSha256 }) => spkiSha256)), sorted.map(({ owner }) => owner)];
  const added = await newKeys.insert(tx, sorted.length,
    `INSERT INTO subject_key (spki_sha256, owner)
     SELECT substring($1::bytea FROM (32 * place - 31)::int FOR 32), owner FROM unnest($2::text[]) WITH ORDINALITY AS given (owner, place)`,
    'spki_sha256', values);
  return added === sorted.length ? { refused: [], allNew: true } : { refused: await refusedKeys(tx, keys), allNew: false };
}

async function refusedKeys(tx: Queryable, keys: NewIntent['keys']): Promise<Refused[]> {
  // A statement of its own: it sees what others committed while the insert waited for them.
  const rows = await tx.query<{ spki_sha256: Buffer; owner: string; blocked: boolean }>(
    'SELECT spki_sha256, owner, blocked FROM subject_key WHERE spki_sha256 = ANY($1::bytea[])', [keys.map(({ spkiSha256 }) => spkiSha256)]);
  const known = new Map(rows.map((row) => [hex(row.spki_sha256), row]));
  return keys.flatMap(({ ordinal, spkiSha256, owner }): Refused[] => {
    const key = known.get(hex(spkiSha256));
    if (key?.blocked === true) return [{ ordinal, code: 'key.blocked' }];
    return key?.owner === owner ? [] : [{ ordinal, code: 'key.other-ecu' }];
  });
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');
