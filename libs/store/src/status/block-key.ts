import type { Queryable } from '../database.ts';

/** A key that is in other hands is certified for nobody again (I11). `owner` is who had it, where nobody is on record. */
export async function blockKey(tx: Queryable, spkiSha256: Uint8Array, owner: string): Promise<void> {
  await tx.query(
    `INSERT INTO subject_key (spki_sha256, owner, blocked) VALUES ($1, $2, true)
     ON CONFLICT (spki_sha256) DO UPDATE SET blocked = true`, [spkiSha256, owner]);
}
