import { Client } from 'pg';

/** Stand-in of the real one: rows by INSERT ... SELECT, to try the benchmark with. */
export async function prefill(databaseUrl: string, rows: number, onProgress?: (done: number) => void): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const page = 50_000;
    for (let from = 0; from < rows; from += page) {
      const to = Math.min(rows, from + page);
      await client.query(
        `INSERT INTO certificate (ca_id, serial, profile_version_id, ordinal, ecu_serial, spki_sha256, not_before, not_after, issued_at, der)
         SELECT (SELECT min(id) FROM ca), '\\x40'::bytea || substr(sha256(int8send(i)), 1, 15), 1, 0, 'PREFILL-' || i, sha256(int8send(i)),
           now(), now() + interval '10 years', now(), sha256(int8send(i)) || decode(repeat('ab', 560), 'hex')
         FROM generate_series($1::bigint, $2::bigint - 1) i`, [from, to]);
      onProgress?.(to);
    }
    await client.query('VACUUM (ANALYZE) certificate');
    await client.query('CHECKPOINT').catch(() => undefined);
  } finally {
    await client.end();
  }
}
