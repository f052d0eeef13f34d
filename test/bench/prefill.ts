import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { type AuditEvent, eventPayload } from '@fleetroot/audit';
import { LedgerKey } from '@fleetroot/core';
import { extension } from '@fleetroot/x509';
import { certify, named } from '../support/software-ca.ts';
import { copyIn, encodeRow } from './copy-in.ts';

const CHUNK_ITEMS = 250;
const BATCH_CHUNKS = 40;
/** Committed at once, and then told to the caller. */
const STEP = 400 * CHUNK_ITEMS;
/** The rows were issued over so many days, the last of them yesterday. */
const DAYS = 300;
const VALID_DAYS = 730;
const DAY_MS = 86_400_000;

interface Ground {
  readonly caId: number;
  readonly profileVersionId: number;
  readonly principalId: number;
  readonly notAfter: Date;
  readonly chunkId: bigint;
  readonly intentId: bigint;
  readonly certificateId: bigint;
}

interface Chunk {
  readonly id: bigint;
  readonly intentId: bigint;
  readonly batchId: string;
  /** Place of its first item in the batch. */
  readonly first: number;
  readonly items: number;
  readonly seed: Buffer;
  readonly signedAt: Date;
  readonly notAfter: Date;
  /** Place of its first certificate among all. */
  readonly from: number;
}

/**
 * Fills the ledger of a migrated database by COPY as if so many certificates had been issued: batches, chunks, intents,
 * ECUs, keys, certificates and their audit events, spread over the last 300 days. Serials derive from their intents where
 * `ledgerKey` is given, else by a key that nobody knows. The DER is one real ECU certificate with each row's serial in it:
 * signatures do not verify, and the hash of the key is not the hash of the key in it.
 */
export async function prefill(
  databaseUrl: string, rows: number, onProgress: (rows: number) => void, ledgerKey = new LedgerKey(randomBytes(32)),
): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 2 }, async () => {
    const client = new Client({ connectionString: databaseUrl });
    await client.connect();
    // All is lost if the machine fails while a bench is prepared, and made again.
    await client.query('SET synchronous_commit = off');
    return client;
  }));
  try {
    const [one, two] = clients as [Client, Client];
    const ground = await prepare(one, rows);
    const run = randomBytes(3).toString('hex').toUpperCase();
    let batch: { id: string; first: number } = { id: '', first: 0 };
    for (let from = 0; from < rows; from += STEP) {
      const chunks: Chunk[] = [];
      for (let at = from; at < Math.min(rows, from + STEP); at += CHUNK_ITEMS) {
        const index = at / CHUNK_ITEMS;
        batch = index % BATCH_CHUNKS === 0 ? { id: randomUUID(), first: 0 } : { id: batch.id, first: batch.first + CHUNK_ITEMS };
        chunks.push(chunkAt(ground, rows, at, index, batch));
      }
      const digests = new Map<Chunk, string>();
      await Promise.all([storeCertificates(one, ground, chunks, run, rows, ledgerKey, digests), storeOwners(two, chunks, run, rows)]);
      await storeWork(one, ground, chunks, digests);
      onProgress(Math.min(rows, from + STEP));
    }
    await one.query(`SELECT setval('chunk_id_seq', (SELECT max(id) FROM chunk)), setval('intent_id_seq', (SELECT max(id) FROM intent)),
      setval('certificate_id_seq', (SELECT max(id) FROM certificate))`);
    for (const table of ['batch', 'chunk', 'intent', 'ecu', 'subject_key', 'certificate']) await one.query(`VACUUM (ANALYZE) ${table}`);
    await one.query('CHECKPOINT').catch(() => undefined);
  } finally {
    for (const client of clients) await client.end();
  }
}

function chunkAt(ground: Ground, rows: number, from: number, index: number, batch: { id: string; first: number }): Chunk {
  const signedAt = new Date(Date.now() - DAY_MS - Math.floor((1 - from / rows) * DAYS * DAY_MS));
  return {
    id: ground.chunkId + BigInt(index), intentId: ground.intentId + BigInt(index), batchId: batch.id, first: batch.first,
    items: Math.min(CHUNK_ITEMS, rows - from), seed: randomBytes(32), signedAt,
    notAfter: new Date(Math.min(ground.notAfter.getTime(), signedAt.getTime() + VALID_DAYS * DAY_MS)), from,
  };
}

/** The CA, profile and principal that the rows are of, made where there is none; the numbers that rows begin at. */
async function prepare(client: Client, rows: number): Promise<Ground> {
  const first = new Date(Date.now() - (DAYS + 1) * DAY_MS).getUTCFullYear();
  await client.query('SELECT add_certificate_partitions($1, $2)', [first, new Date().getUTCFullYear()]);
  await client.query(`INSERT INTO profile_version (name, sha256, document) SELECT 'ecu-client', sha256('prefill'), '{"name":"ecu-client"}'
    WHERE NOT EXISTS (SELECT FROM profile_version WHERE name = 'ecu-client')`);
  await client.query(`INSERT INTO principal (name, roles, token_sha256) SELECT 'prefill', '{line}', sha256($1)
    WHERE NOT EXISTS (SELECT FROM principal)`, [randomBytes(32)]);
  const { rows: [ca] } = await client.query<{ id: number; not_after: Date }>(
    `SELECT id, not_after FROM ca WHERE key_id IS NOT NULL ORDER BY name = 'ecu-issuing' DESC, id DESC LIMIT 1`);
  if (ca === undefined) throw new Error('the ledger has no CA that could have issued the rows');
  const { rows: [ids] } = await client.query<{ profile: number; principal: number; chunk: string; intent: string; certificate: string }>(
    `SELECT (SELECT max(id) FROM profile_version WHERE name = 'ecu-client') AS profile, (SELECT min(id) FROM principal) AS principal,
       (SELECT last_value FROM chunk_id_seq) AS chunk, (SELECT last_value FROM intent_id_seq) AS intent, (SELECT last_value FROM certificate_id_seq) AS certificate`);
  if (ids === undefined) throw new Error('no row');
  // What is issued meanwhile comes after.
  const free = (last: string): bigint => BigInt(last) + 1n;
  await client.query(`SELECT setval('chunk_id_seq', $1::bigint), setval('intent_id_seq', $2::bigint), setval('certificate_id_seq', $3::bigint)`,
    [free(ids.chunk) + BigInt(rows), free(ids.intent) + BigInt(rows), free(ids.certificate) + BigInt(rows)]);
  return {
    caId: ca.id, notAfter: ca.not_after, profileVersionId: ids.profile, principalId: ids.principal,
    chunkId: free(ids.chunk), intentId: free(ids.intent), certificateId: free(ids.certificate),
  };
}

/** Always of the same length: it is written over in the row. */
const ecuOf = (run: string, place: number): string => `PRE-${run}-${String(place).padStart(9, '0')}`;

/**
 * Writes 32 octets that grow with the place: so the index is written in order, and what comes later falls anywhere into
 * it. Behind the first ten they are the run's.
 */
function writeKey(row: Buffer, at: number, rows: number, place: number): void {
  row.writeUIntBE(Math.floor((place / rows) * 2 ** 48), at, 6);
  row.writeUInt32BE(place, at + 6);
}

const keyOf = (run: string): Buffer => createHash('sha256').update(run).digest();

const CERTIFICATE = {
  id: 'int8', ca_id: 'int4', serial: 'bytea', profile_version_id: 'int4', chunk_id: 'int8', ordinal: 'int4', intent_id: 'int8', ecu_serial: 'text',
  spki_sha256: 'bytea', not_before: 'timestamptz', not_after: 'timestamptz', issued_at: 'timestamptz', der: 'bytea',
} as const;

async function storeCertificates(
  client: Client, ground: Ground, chunks: readonly Chunk[], run: string, rows: number, key: LedgerKey, digests: Map<Chunk, string>,
): Promise<void> {
  const template = realCertificate();
  function* certificates(): Iterable<Buffer> {
    for (const chunk of chunks) {
      const digest = createHash('sha256');
      const { octets: row, at } = encodeRow(CERTIFICATE, [
        0n, ground.caId, Buffer.alloc(18), ground.profileVersionId, chunk.id, 0, chunk.intentId, ecuOf(run, 0), keyOf(run),
        new Date(chunk.signedAt.getTime() - 300_000), chunk.notAfter, chunk.signedAt, template.der,
      ]);
      const place = (column: keyof typeof CERTIFICATE): number => at[column] ?? 0;
      const der = row.subarray(place('der'));
      for (let i = 0; i < chunk.items; i++) {
        const ordinal = chunk.first + i;
        const serial = key.deriveSerial({ seed: chunk.seed, signedAt: chunk.signedAt, form: 2 }, ordinal);
        row.writeBigInt64BE(ground.certificateId + BigInt(chunk.from + i), place('id'));
        row.set(serial, place('serial'));
        row.writeInt32BE(ordinal, place('ordinal'));
        row.write(ecuOf(run, chunk.from + i), place('ecu_serial'), 'latin1');
        writeKey(row, place('spki_sha256'), rows, chunk.from + i);
        der.set(serial, template.serialAt);
        digest.update(der);
        yield row;
      }
      digests.set(chunk, digest.digest('hex'));
    }
  }
  await copyIn(client, 'certificate', CERTIFICATE, certificates());
}

const ECU = { serial: 'text', part_number: 'text', created_at: 'timestamptz' } as const;
const SUBJECT_KEY = { spki_sha256: 'bytea', owner: 'text' } as const;

async function storeOwners(client: Client, chunks: readonly Chunk[], run: string, rows: number): Promise<void> {
  function* places(): Iterable<number> {
    for (const { from, items } of chunks) for (let i = 0; i < items; i++) yield from + i;
  }
  function* ecus(): Iterable<Buffer> {
    const { octets: row, at } = encodeRow(ECU, [ecuOf(run, 0), 'PN-100-A', new Date()]);
    for (const place of places()) {
      row.write(ecuOf(run, place), at['serial'] ?? 0, 'latin1');
      yield row;
    }
  }
  function* keys(): Iterable<Buffer> {
    const { octets: row, at } = encodeRow(SUBJECT_KEY, [keyOf(run), `ecu:${ecuOf(run, 0)}`]);
    for (const place of places()) {
      writeKey(row, at['spki_sha256'] ?? 0, rows, place);
      row.write(`ecu:${ecuOf(run, place)}`, at['owner'] ?? 0, 'latin1');
      yield row;
    }
  }
  await copyIn(client, 'ecu', ECU, ecus());
  await copyIn(client, 'subject_key', SUBJECT_KEY, keys());
}

const CHUNK = {
  id: 'int8', batch_id: 'uuid', first: 'int4', items: 'int4', state: 'text', fence: 'int4', issued: 'int4', claimed_at: 'timestamptz', done_at: 'timestamptz',
} as const;
const INTENT = {
  id: 'int8', chunk_id: 'int8', fence: 'int4', ca_id: 'int4', profile_version_id: 'int4', seed: 'bytea', signed_at: 'timestamptz', not_after: 'timestamptz',
  first: 'int4', items: 'int4', state: 'text', serial_form: 'int2',
} as const;

async function storeWork(client: Client, ground: Ground, chunks: readonly Chunk[], digests: ReadonlyMap<Chunk, string>): Promise<void> {
  const batches = Map.groupBy(chunks, ({ batchId }) => batchId);
  await client.query('BEGIN');
  for (const [id, parts] of batches) {
    const [at, items] = [parts[0]?.signedAt ?? new Date(), parts.reduce((sum, part) => sum + part.items, 0)];
    await client.query(
      `INSERT INTO batch (id, principal_id, body_sha256, ca_id, profile_version_id, state, items, created_at, received_at, accepted_at, completed_at)
       VALUES ($1, $2, sha256('prefill'), $3, $4, 'done', $5, $6, $6, $6, $6)`, [id, ground.principalId, ground.caId, ground.profileVersionId, items, at]);
    await audit(client, at, { action: 'batch.accepted', actor: 'system:prefill', subject: `batch:${id}`, data: { items, ca: ground.caId } });
  }
  await copyIn(client, 'chunk', CHUNK, chunks.map(({ id, batchId, first, items, signedAt }) =>
    encodeRow(CHUNK, [id, batchId, first, items, 'done', 1, items, signedAt, signedAt]).octets));
  await copyIn(client, 'intent', INTENT, chunks.map(({ id, intentId, seed, signedAt, notAfter, first, items }) => encodeRow(INTENT, [
    intentId, id, 1, ground.caId, ground.profileVersionId, seed, signedAt, notAfter, first, items, 'stored', 2]).octets));
  for (const chunk of chunks) {
    await audit(client, chunk.signedAt, {
      action: 'chunk.issued', actor: 'system:prefill', subject: `batch:${chunk.batchId}`,
      data: {
        chunk: String(chunk.id), intent: String(chunk.intentId), ca: ground.caId, profileVersion: ground.profileVersionId, first: chunk.first,
        issued: chunk.items, failed: 0, certificatesSha256: digests.get(chunk) ?? '',
      },
    });
  }
  await client.query('COMMIT');
}

async function audit(client: Client, at: Date, event: Omit<AuditEvent, 'at'>): Promise<void> {
  await client.query({ name: 'audit', text: 'SELECT audit_append($1, $2)', values: [eventPayload({ ...event, at }), at] });
}

/** As an ECU's by the shipped profile, with a serial of the length that they have, and where it lies in the DER. */
function realCertificate(): { readonly der: Buffer; readonly serialAt: number } {
  const serial = Buffer.alloc(18, 0x5a);
  const { certificate } = certify({
    subject: [{ type: 'organizationalUnitName', value: 'PN-100-A' }, { type: 'commonName', value: 'PRE-000000-000000000' }],
    issuer: certify({ subject: named('Fleetroot ECU issuing CA') }), serial,
    extensions: [
      extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['clientAuth']),
      extension.authorityInformationAccess({ ocsp: 'http://127.0.0.1:8081/ocsp/ecu-issuing', caIssuers: 'http://127.0.0.1:8081/ca/ecu-issuing.cer' }),
      extension.crlDistributionPoints(['http://127.0.0.1:8081/crl/ecu-issuing.crl']),
    ],
  });
  const der = Buffer.from(certificate);
  return { der, serialAt: der.indexOf(serial) };
}
