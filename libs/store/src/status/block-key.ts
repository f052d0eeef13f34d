import type { Queryable } from '../database.ts';

interface BlockedKey {
  readonly spkiSha256: Uint8Array;
  /** Who had it, where nobody is on record. */
  readonly owner: string;
}

/** A key that is in other hands is certified for nobody again (I11). `owner` is who had it, where nobody is on record. */
export async function blockKey(tx: Queryable, spkiSha256: Uint8Array, owner: string): Promise<void> {
  await blockKeys(tx, [{ spkiSha256, owner }]);
}

/** As `blockKey`; in one order for everybody, so that two of these never wait for each other. */
export async function blockKeys(tx: Queryable, keys: readonly BlockedKey[]): Promise<void> {
  const each = new Map(keys.map((key) => [Buffer.from(key.spkiSha256).toString('hex'), key]));
  const sorted = [...each].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, key]) => key);
  if (sorted.length === 0) return;
  await tx.query(
    `INSERT INTO subject_key (spki_sha256, owner, blocked) SELECT spki_sha256, owner, true FROM unnest($1::bytea[], $2::text[]) AS k (spki_sha256, owner)
     ON CONFLICT (spki_sha256) DO UPDATE SET blocked = true`, [sorted.map(({ spkiSha256 }) => spkiSha256), sorted.map(({ owner }) => owner)]);
}
