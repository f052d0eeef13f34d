import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifyChain } from '@fleetroot/audit';
import { LedgerKey, Secret, type SerialSource, toHex } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import { importPublicKey, type ParsedCertificate, parseAnyCrl, parseCertificate, parseCrl, spkiSha256, verifySignature, verifyWithKey } from '@fleetroot/x509';
import { Client } from 'pg';

/** Where to look. */
export interface Installation {
  readonly dataDir: string;
  /** Base URL of the status app. */
  readonly status: string;
}

/** What stands before the digest in a DigestInfo, by SHA-256, SHA-384, SHA-512. */
const digestInfo = ['3031300d060960864801650304020105000420', '3041300d060960864801650304020205000430', '3051300d060960864801650304020305000440'];

/** The self-tests of the signers that a test may start, at most. */
const SELF_TESTS = 100;
/** Octets of a filter that are signed (docs/filter.md). */
const FILTER_HEADER = 200;
/** Of one kind; more of them tell nothing more. */
const BREACHES_SHOWN = 5;

const AUDIT_CHAIN = 'audit chain';

export interface Look {
  /** SQL that runs first, in a transaction that is rolled back: it shows that a check can fail. */
  readonly tamper?: string;
  /** The name of one check; the audit chain is left out then. */
  readonly only?: string;
  /** Names of checks that are left out; `audit chain` is one. */
  readonly except?: readonly string[];
  /** How long a serial that was revoked or burned may take to be on the published CRL. */
  readonly crlWithinMs?: number;
  /** A connection that is open, for whoever looks often. */
  readonly connected?: Client;
}

type Check = (ledger: Ledger) => Promise<string[]>;

interface Ledger {
  readonly installation: Installation;
  readonly crlWithinMs: number;
  readonly key: LedgerKey;
  query<R>(sql: string, values?: unknown[]): Promise<R[]>;
}

/**
 * Every breach of what must hold while nothing is being issued (docs/architecture.md), read from the ledger by SQL, from
 * the certificates themselves and from the published CRLs; empty when all holds. The code under test is not asked, but
 * for the derivation of serials and the readers of DER.
 */
export async function invariants(installation: Installation, { tamper = 'SELECT', only, except = [], crlWithinMs = 20_000, connected }: Look = {}): Promise<string[]> {
  const secret = (name: string): string => readFileSync(join(installation.dataDir, 'secrets', name), 'utf8').trim();
  const client = connected ?? new Client({ connectionString: secret('database-url') });
  if (connected === undefined) await client.connect();
  try {
    const ledger: Ledger = {
      installation, crlWithinMs, key: new LedgerKey(new Uint8Array(Buffer.from(secret('ledger-key'), 'hex'))),
      query: async <R>(sql: string, values?: unknown[]) => (await client.query(sql, values)).rows as R[],
    };
    const breaches: string[] = [];
    // One moment for all checks: the worker goes on meanwhile.
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query(tamper);
    for (const [name, check] of Object.entries(checks)) {
      if ((only !== undefined && name !== only) || except.includes(name)) continue;
      const found = await check(ledger);
      breaches.push(...found.slice(0, BREACHES_SHOWN).map((breach) => `${name}: ${breach}`));
      if (found.length > BREACHES_SHOWN) breaches.push(`${name}: ${found.length - BREACHES_SHOWN} more`);
    }
    await client.query('ROLLBACK');
    return only !== undefined || except.includes(AUDIT_CHAIN) ? breaches : [...breaches, ...(await auditChain(secret('database-url'), ledger.key))];
  } finally {
    if (connected === undefined) await client.end();
  }
}

/** Rows that must not be there, as text. */
const none = (sql: string): Check => async (ledger) => (await ledger.query<object>(sql)).map((row) => JSON.stringify(row));

const checks: Record<string, Check> = {
  'a batch is done when its chunks are': none(`
    SELECT b.id, b.state FROM batch b WHERE b.state <> 'receiving' AND (b.state = 'done') <>
      NOT EXISTS (SELECT FROM chunk c WHERE c.batch_id = b.id AND c.state <> 'done')`),
  'a batch is the sum of its chunks': none(`
    SELECT b.id, b.items, sum(c.items)::int AS of_chunks FROM batch b LEFT JOIN chunk c ON c.batch_id = b.id
    GROUP BY b.id HAVING b.items <> coalesce(sum(c.items), 0)`),
  'chunks cover their batch without a gap': none(`
    SELECT batch_id, first FROM (
      SELECT batch_id, first, coalesce(sum(items) OVER (PARTITION BY batch_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
      FROM chunk) c WHERE first <> before`),
  'items = issued + failed in what is done': none(`
    SELECT id, items, issued, failed FROM chunk WHERE state = 'done' AND items <> issued + failed`),
  'a chunk counts what is there': none(`
    SELECT c.id, c.issued, c.failed, certificates, failures FROM chunk c
    CROSS JOIN LATERAL (SELECT count(*) AS certificates FROM certificate WHERE chunk_id = c.id) x
    CROSS JOIN LATERAL (SELECT count(*) AS failures FROM failure WHERE chunk_id = c.id) y
    WHERE c.issued <> certificates OR c.failed <> failures + CASE WHEN c.refusal IS NULL THEN 0 ELSE c.items - certificates - failures END`),
  'each item has one outcome': none(`
    SELECT c.id, place FROM chunk c CROSS JOIN LATERAL generate_series(c.first, c.first + c.items - 1) AS place
    WHERE c.state = 'done' AND c.refusal IS NULL AND 1 <> (SELECT count(*) FROM certificate WHERE chunk_id = c.id AND ordinal = place)
      + (SELECT count(*) FROM failure WHERE chunk_id = c.id AND ordinal = place)`),
  'what is done holds no requests': none(`SELECT id FROM chunk WHERE (state = 'done') <> (sealed IS NULL)`),
  'a serial is issued once': none(`
    SELECT ca_id, encode(serial, 'hex') AS serial FROM certificate GROUP BY 1, 2 HAVING count(*) > 1`),
  'a burned serial is no certificate': none(`
    SELECT b.ca_id, encode(b.serial, 'hex') AS serial FROM burned_serial b JOIN certificate c USING (ca_id, serial)`),
  'a certificate has a stored intent': none(`
    SELECT encode(c.serial, 'hex') AS serial, i.state FROM certificate c LEFT JOIN intent i ON i.id = c.intent_id
    WHERE i.state IS DISTINCT FROM 'stored' OR i.chunk_id <> c.chunk_id OR i.ca_id <> c.ca_id`),
  'one intent of a chunk is stored': none(`
    SELECT chunk_id FROM intent WHERE state = 'stored' GROUP BY chunk_id HAVING count(*) > 1`),
  'an open intent belongs to a chunk that is being signed': none(`
    SELECT i.id FROM intent i LEFT JOIN chunk c ON c.id = i.chunk_id
    WHERE i.state = 'open' AND (c.state IS DISTINCT FROM 'signing' OR c.fence <> i.fence)`),
  'a key has the owner it was certified for': none(`
    SELECT encode(c.serial, 'hex') AS serial, c.ecu_serial, k.owner FROM certificate c LEFT JOIN subject_key k USING (spki_sha256)
    WHERE k.owner IS DISTINCT FROM coalesce('ecu:' || c.ecu_serial, 'server:' || c.subject_name, 'server:')`),
  'a chunk has one chunk.issued event': none(`
    SELECT c.id, count(e.seq) FROM chunk c
    LEFT JOIN audit_event e ON e.payload::jsonb ->> 'action' = 'chunk.issued' AND e.payload::jsonb -> 'data' ->> 'chunk' = c.id::text
    WHERE c.state = 'done' AND c.fence > 0 AND c.refusal IS NULL GROUP BY c.id HAVING count(e.seq) <> 1`),
  'a refused chunk has issued nothing, and its batch was cancelled': none(`
    SELECT c.id, c.refusal, c.issued FROM chunk c JOIN batch b ON b.id = c.batch_id
    WHERE c.refusal IS NOT NULL AND (c.issued <> 0 OR c.state <> 'done' OR b.cancelled_at IS NULL)`),
  'there are as many batch.accepted events as batches': none(`
    SELECT batches, events FROM (SELECT count(*) AS batches FROM batch WHERE state <> 'receiving') b,
      (SELECT count(*) AS events FROM audit_event WHERE payload::jsonb ->> 'action' = 'batch.accepted') e WHERE batches <> events`),
  'an abandoned intent has one event': none(`
    SELECT i.id, count(e.seq) FROM intent i
    LEFT JOIN audit_event e ON e.payload::jsonb ->> 'action' = 'intent.abandoned' AND e.payload::jsonb -> 'data' ->> 'intent' = i.id::text
    WHERE i.state = 'abandoned' GROUP BY i.id HAVING count(e.seq) <> 1`),
  'an issuer uses a serial once, for leaves and in ceremonies': none(`
    SELECT m.issuer_id, encode(m.serial, 'hex') AS serial FROM ceremony_certificate m JOIN certificate c ON c.ca_id = m.issuer_id AND c.serial = m.serial`),
  'the certificate of a CA is one that a ceremony made, and ends last': none(`
    SELECT ca.name FROM ca WHERE NOT EXISTS (
      SELECT FROM ceremony_certificate m WHERE m.subject_id = ca.id AND m.kind = 'ca' AND m.der = ca.certificate AND m.not_after = ca.not_after
        AND m.not_after >= ALL (SELECT o.not_after FROM ceremony_certificate o WHERE o.subject_id = ca.id AND o.kind = 'ca'))`),
  'a revoked CA is revoked at each of its issuers': none(`
    SELECT ca.name, i.name AS issuer, ca.state FROM ca LEFT JOIN ceremony_certificate m ON m.subject_id = ca.id AND m.issuer_id <> ca.id AND m.not_after > now()
    LEFT JOIN ca i ON i.id = m.issuer_id
    WHERE ca.revoked_at IS NOT NULL AND (ca.state NOT IN ('retired', 'compromised') OR (m.id IS NOT NULL AND NOT EXISTS (
      SELECT FROM revocation r WHERE r.ca_id = m.issuer_id AND r.serial = m.serial)))`),
  'a CA follows one, and no CA follows itself': none(`
    WITH RECURSIVE line (first, at, steps) AS (
      SELECT id, successor_id, 1 FROM ca WHERE successor_id IS NOT NULL
      UNION ALL SELECT line.first, ca.successor_id, steps + 1 FROM line JOIN ca ON ca.id = line.at WHERE ca.successor_id IS NOT NULL AND steps < 100)
    SELECT first AS ca, 'ring' AS what FROM line WHERE at = first
    UNION ALL SELECT successor_id, 'followed by several' FROM ca WHERE successor_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1`),
  'what a CA issues ends with it': none(`
    SELECT i.id, ca.name FROM intent i JOIN ca ON ca.id = i.ca_id WHERE i.state = 'stored' AND i.not_after > ca.not_after`),
  'what ceremonies made is what its rows say': ceremoniesAreTheirRows,
  'serials derive from their intent': serialsDerive,
  'an abandoned intent is burned': abandonedAreBurned,
  'a certificate is what its row says': certificatesAreTheirRows,
  'the audit log fixes what was issued': digestsMatch,
  'what is revoked or burned is on the CRL': onCrl,
};

interface SourceRow { readonly seed: Buffer; readonly signed_at: Date; readonly serial_form: 1 | 2 }

const source = ({ seed, signed_at, serial_form }: SourceRow): SerialSource => ({ seed, signedAt: signed_at, form: serial_form });

interface IntentRow extends SourceRow {
  readonly id: string; readonly ca_id: number; readonly first: number; readonly items: number; readonly untouched: readonly number[];
}

async function serialsDerive({ query, key }: Ledger): Promise<string[]> {
  const rows = await query<SourceRow & { serial: Buffer; ordinal: number }>(
    'SELECT c.serial, c.ordinal, i.seed, i.signed_at, i.serial_form FROM certificate c JOIN intent i ON i.id = c.intent_id');
  return rows.filter((row) => toHex(key.deriveSerial(source(row), row.ordinal)) !== toHex(row.serial)).map(({ serial }) => toHex(serial));
}

async function abandonedAreBurned({ query, key }: Ledger): Promise<string[]> {
  const burned = new Set((await query<{ ca_id: number; serial: Buffer }>('SELECT ca_id, serial FROM burned_serial'))
    .map(({ ca_id, serial }) => `${ca_id}/${toHex(serial)}`));
  const breaches: string[] = [];
  for (const row of await query<IntentRow>(`SELECT id, ca_id, seed, signed_at, serial_form, first, items, untouched FROM intent WHERE state = 'abandoned'`)) {
    const { id, ca_id, first, items, untouched } = row;
    for (let ordinal = first; ordinal < first + items; ordinal++) {
      const name = `${ca_id}/${toHex(key.deriveSerial(source(row), ordinal))}`;
      // Of what the HSM was never given there is nothing to burn; such a serial is left in the set, and told of below.
      if (!untouched.includes(ordinal) && !burned.delete(name)) breaches.push(`item ${ordinal} of intent ${id} is not`);
    }
  }
  // Single items of an attempt that was stored otherwise.
  for (const row of await query<SourceRow & { ca_id: number; ordinal: number }>(
    `SELECT i.ca_id, i.seed, i.signed_at, i.serial_form, f.ordinal FROM failure f JOIN intent i ON i.chunk_id = f.chunk_id AND i.state = 'stored' WHERE f.code = 'issuance.abandoned'`)) {
    if (!burned.delete(`${row.ca_id}/${toHex(key.deriveSerial(source(row), row.ordinal))}`)) breaches.push(`the abandoned item ${row.ordinal} is not`);
  }
  return [...breaches, ...Array.from(burned, (name) => `${name} is burned, and no intent tells why`)];
}

interface CeremonyRow {
  readonly kind: string; readonly subject: string | null; readonly subject_spki: Buffer | null; readonly issuer: Buffer | null;
  readonly serial: Buffer; readonly der: Buffer; readonly sha256: Buffer; readonly not_before: Date; readonly not_after: Date;
}

async function ceremoniesAreTheirRows({ query }: Ledger): Promise<string[]> {
  const rows = await query<CeremonyRow>(`
    SELECT m.kind, s.name AS subject, s.spki_sha256 AS subject_spki, i.certificate AS issuer, m.serial, m.der, m.sha256, m.not_before, m.not_after
    FROM ceremony_certificate m LEFT JOIN ca s ON s.id = m.subject_id LEFT JOIN ca i ON i.id = m.issuer_id`);
  return rows.flatMap((row) => {
    const parsed = parseCertificate(row.der);
    const issuer = row.issuer === null ? undefined : parseCertificate(row.issuer);
    const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
    const holds: Record<string, boolean> = {
      serial: same(parsed.serial, row.serial),
      sha256: same(createHash('sha256').update(row.der).digest(), row.sha256),
      notBefore: parsed.notBefore.getTime() === row.not_before.getTime(),
      notAfter: parsed.notAfter.getTime() === row.not_after.getTime(),
      key: row.subject_spki === null || same(spkiSha256(parsed.spkiDer), row.subject_spki),
      kind: parsed.isCa === (row.kind !== 'ocsp-signer'),
      issuer: issuer === undefined || same(parsed.issuerDer, issuer.subjectDer),
      signature: issuer === undefined || verifySignature(issuer.spkiDer, parsed.signatureAlgorithm, parsed.tbsDer, parsed.signature),
    };
    return Object.entries(holds).filter(([, holding]) => !holding).map(([what]) => `${row.kind} of ${row.subject ?? 'an OCSP signer'}, ${toHex(row.serial)}: ${what}`);
  });
}

interface CertificateRow {
  readonly ca_id: number; readonly serial: Buffer; readonly spki_sha256: Buffer; readonly ecu_serial: string | null;
  readonly not_before: Date; readonly not_after: Date; readonly der: Buffer;
}

async function certificatesAreTheirRows({ query }: Ledger): Promise<string[]> {
  const issuers = new Map((await query<{ id: number; certificate: Buffer }>('SELECT id, certificate FROM ca')).map(({ id, certificate }) => {
    const parsed = parseCertificate(certificate);
    return [id, { parsed, key: importPublicKey(parsed.spkiDer) }];
  }));
  return (await query<CertificateRow>('SELECT ca_id, serial, spki_sha256, ecu_serial, not_before, not_after, der FROM certificate')).flatMap((row) => {
    const issuer = issuers.get(row.ca_id);
    const wrong = issuer === undefined ? ['issuer'] : differences(row, parseCertificate(row.der), issuer.parsed);
    const { signatureAlgorithm, tbsDer, signature } = parseCertificate(row.der);
    if (issuer !== undefined && !verifyWithKey(issuer.key, signatureAlgorithm, tbsDer, signature)) wrong.push('signature');
    return wrong.map((what) => `${toHex(row.serial)}: ${what}`);
  });
}

function differences(row: CertificateRow, certificate: ParsedCertificate, issuer: ParsedCertificate): string[] {
  const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
  const holds: Record<string, boolean> = {
    serial: same(certificate.serial, row.serial),
    issuer: same(certificate.issuerDer, issuer.subjectDer),
    key: same(spkiSha256(certificate.spkiDer), row.spki_sha256),
    notBefore: Math.abs(certificate.notBefore.getTime() - row.not_before.getTime()) < 1000,
    notAfter: Math.abs(certificate.notAfter.getTime() - row.not_after.getTime()) < 1000,
    outlives: certificate.notAfter <= issuer.notAfter,
    subject: row.ecu_serial === null || Buffer.from(certificate.subjectDer).includes(row.ecu_serial),
    leaf: !certificate.isCa,
  };
  return Object.entries(holds).filter(([, holding]) => !holding).map(([what]) => what);
}

async function digestsMatch({ query }: Ledger): Promise<string[]> {
  const events = await query<{ data: { chunk: string; issued: number; failed: number; certificatesSha256: string } }>(
    `SELECT payload::jsonb -> 'data' AS data FROM audit_event WHERE payload::jsonb ->> 'action' = 'chunk.issued'`);
  const told = new Map(events.map(({ data }) => [data.chunk, data.certificatesSha256]));
  const digests = new Map<string, ReturnType<typeof createHash>>();
  for (const { chunk_id, der } of await query<{ chunk_id: string; der: Buffer }>('SELECT chunk_id, der FROM certificate ORDER BY chunk_id, ordinal')) {
    const digest = digests.get(chunk_id) ?? createHash('sha256');
    digests.set(chunk_id, digest.update(der));
  }
  return Array.from(digests).filter(([chunk, digest]) => told.get(chunk) !== digest.digest('hex')).map(([chunk]) => `chunk ${chunk}`);
}

/** The CRLs as anybody gets them, of CAs that sign theirs here. */
async function onCrl({ query, installation, crlWithinMs }: Ledger): Promise<string[]> {
  const wanted = await query<{ name: string; certificate: Buffer; serial: Buffer }>(`
    SELECT ca.name, ca.certificate, s.serial FROM ca JOIN (
      SELECT ca_id, serial, not_after FROM revocation UNION ALL SELECT ca_id, serial, not_after FROM burned_serial
    ) s ON s.ca_id = ca.id WHERE s.not_after > now() AND ca.key_id IS NOT NULL AND ca.state IN ('prepared', 'active', 'retiring')`);
  for (const until = Date.now() + crlWithinMs; ; await new Promise((resolve) => setTimeout(resolve, 300))) {
    const missing: string[] = [];
    for (const name of new Set(wanted.map((each) => each.name))) {
      const serials = wanted.filter((each) => each.name === name);
      missing.push(...(await missingOnCrl(`${installation.status}/crl/${name}.crl`, serials)));
    }
    if (missing.length === 0 || Date.now() > until) return missing;
  }
}

async function missingOnCrl(url: string, wanted: readonly { readonly certificate: Buffer; readonly serial: Buffer }[]): Promise<string[]> {
  const response = await fetch(url);
  if (!response.ok) return [`${url} answers ${response.status}`];
  const crl = parseCrl(new Uint8Array(await response.arrayBuffer()));
  const [first] = wanted;
  if (first !== undefined && !verifySignature(parseCertificate(first.certificate).spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature)) {
    return [`${url}: signature`];
  }
  if (crl.nextUpdate < new Date()) return [`${url} has expired`];
  return wanted.filter(({ serial }) => !crl.entries.has(toHex(serial))).map(({ serial }) => `${toHex(serial)} is not on ${url}`);
}

/**
 * What the HSM signed beside the ledger (I2): each certificate and each CRL was signed, once; what is left over are what
 * ceremonies signed while it was recorded, the signers' self-tests, CRLs that were not published, and no more lost certificates than serials were burned.
 */
export async function signaturesOnRecord(installation: Installation, recorded: ReadonlyMap<string, number>, selfTests = SELF_TESTS): Promise<string[]> {
  const client = new Client({ connectionString: readFileSync(join(installation.dataDir, 'secrets/database-url'), 'utf8').trim() });
  await client.connect();
  try {
    const left = new Map(recorded);
    const breaches = Array.from(recorded).filter(([, times]) => times > 1).map(([input, times]) => `${input} was signed ${times} times`);
    const digests = (tbs: Uint8Array): string[] => ['sha256', 'sha384', 'sha512'].flatMap((name, i) => {
      const digest = createHash(name).update(tbs).digest('hex');
      // ECDSA signs the digest, RSA (PKCS #1 v1.5) the DigestInfo around it.
      return [digest, `${digestInfo[i] ?? ''}${digest}`];
    });
    const account = (what: string, tbs: Uint8Array): void => {
      if (!digests(tbs).some((digest) => left.delete(digest))) breaches.push(`${what} was not signed by this HSM`);
    };
    for (const { der } of (await client.query<{ der: Buffer }>('SELECT der FROM certificate')).rows) {
      account(`certificate ${toHex(parseCertificate(der).serial)}`, parseCertificate(der).tbsDer);
    }
    // Made here, or elsewhere, or before the record began.
    for (const { der } of (await client.query<{ der: Buffer }>('SELECT der FROM ceremony_certificate')).rows) {
      digests(parseCertificate(der).tbsDer).some((digest) => left.delete(digest));
    }
    for (const { der } of (await client.query<{ der: Buffer }>('SELECT der FROM crl JOIN ca ON ca.id = crl.ca_id WHERE der IS NOT NULL AND ca.key_id IS NOT NULL')).rows) {
      account(`CRL ${parseAnyCrl(der).number}`, parseAnyCrl(der).tbsDer);
    }
    // A filter's header is signed. Of one that is not signed yet only its SHA-256 is on record, and a key may sign by another hash.
    let lostFilters = 0;
    for (const { sha256, content } of (await client.query<{ sha256: Buffer; content: Buffer | null }>('SELECT sha256, content FROM revocation_filter')).rows) {
      if (content !== null) account('a filter', content.subarray(0, FILTER_HEADER));
      else if (!left.delete(sha256.toString('hex'))) lostFilters++;
    }
    const { rows: [may] } = await client.query<{ lost: number }>(
      'SELECT ((SELECT count(*) FROM burned_serial) + (SELECT count(*) FROM crl WHERE der IS NULL))::int AS lost');
    const lost = (may?.lost ?? 0) + lostFilters;
    return [...breaches, ...(left.size > lost + selfTests ? [`${left.size} signatures, of which the ledger knows ${lost}`] : [])];
  } finally {
    await client.end();
  }
}

async function auditChain(databaseUrl: string, ledgerKey: LedgerKey): Promise<string[]> {
  const store = await openStore({ databaseUrl: new Secret(databaseUrl), ledgerKey, pool: 2 });
  try {
    const head = await store.audit.head();
    const verdict = await verifyChain(upTo(store.audit.events(), head.seq), head);
    return verdict.breach === undefined ? [] : [`audit chain: ${verdict.breach.what} at ${verdict.breach.seq}`];
  } finally {
    await store.close();
  }
}

/** The worker may append meanwhile: its events come after the head that was read. */
async function* upTo<T extends { readonly seq: bigint }>(events: AsyncIterable<T>, last: bigint): AsyncGenerator<T> {
  for await (const event of events) {
    if (event.seq > last) return;
    yield event;
  }
}
