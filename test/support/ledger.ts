import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditAction, AuditEvent } from '@fleetroot/audit';
import type { CeremonyCertificate, CertificationAuthority, ClaimedChunk, IssuedItem, NewAuthority, NewBatch, NewIntent, RequestItem } from '@fleetroot/authority';
import { type CaName, ecuSerial, LedgerKey, partNumber, type Vin, vin, vinCheckDigit } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { parseCertificate } from '@fleetroot/x509';
import { startTestPostgres, type TestPostgres } from './postgres.ts';
import { type CertificateFields, certify, named, type SoftwareCa } from './software-ca.ts';

export const day = 86_400_000;

/** A store on a PostgreSQL of its own, with one active CA, one profile and one principal. */
export interface TestLedger {
  readonly postgres: TestPostgres;
  readonly key: LedgerKey;
  readonly store: Store;
  readonly ca: CertificationAuthority;
  readonly batch: NewBatch;
  close(): Promise<void>;
}

export async function openTestLedger(): Promise<TestLedger> {
  const postgres = await startTestPostgres();
  const key = new LedgerKey(randomBytes(32));
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: key, pool: 8 });
  const ca = await store.authorities.add(selfSigned('ecu-issuing'), event('ca.imported', 'ca:ecu-issuing'));
  const profile = await store.profiles.ensure('ecu-client', '{"name":"ecu-client"}');
  const principal = await store.principals.put('line-1', ['line'], randomBytes(32), undefined, event('principal.created', 'principal:line-1'));
  return {
    postgres, key, store, ca,
    batch: { principalId: principal.id, idempotencyKey: undefined, caId: ca.id, profileVersionId: profile.id, priority: 10, purpose: 'line' },
    async close() {
      await store.close();
      await postgres.stop();
    },
  };
}

export function event(action: AuditAction, subject: string): AuditEvent {
  return { action, actor: 'system:test', at: new Date(), subject, data: {} };
}

/** A CA of ten years, its key thrown away: the ledger looks at the certificate only. */
export function selfSigned(name: string): NewAuthority {
  const folder = mkdtempSync(join(tmpdir(), 'fleetroot-ca-'));
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650',
      '-subj', `/CN=${name}`, '-keyout', join(folder, 'key'), '-outform', 'DER', '-out', join(folder, 'der')], { stdio: 'pipe' });
    return {
      name: name as CaName, parentId: undefined, state: 'active', certificate: new Uint8Array(readFileSync(join(folder, 'der'))),
      keyId: randomBytes(16), signatureAlgorithm: undefined, labels: {}, notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + 3650 * day),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A CA whose certificate is real: what ceremonies signed is told apart by keys and signers. */
export interface RealCa {
  readonly made: SoftwareCa;
  readonly ca: CertificationAuthority;
}

/** Puts a CA on record, by default active, with its key in the CA token, and for ten years. */
export async function addCa(
  store: Store, name: string, parent?: RealCa, change: Partial<NewAuthority> = {}, fields: Partial<CertificateFields> = {},
): Promise<RealCa> {
  const made = certify({ subject: named(name), issuer: parent?.made, serial: randomSerial(), notAfter: new Date(Date.now() + 3650 * day), ...fields });
  const { notBefore, notAfter } = parseCertificate(made.certificate);
  const ca = await store.authorities.add({
    name: name as CaName, parentId: parent?.ca.id, state: 'active', certificate: made.certificate, keyId: made.keyId,
    signatureAlgorithm: undefined, labels: {}, notBefore, notAfter, ...change,
  }, event('ca.imported', `ca:${name}`));
  return { made, ca };
}

export const randomSerial = (): Uint8Array => {
  const serial = randomBytes(16);
  serial[0] = 0x40;
  return new Uint8Array(serial);
};

/** The port's form of a certificate that a ceremony made. */
export function ceremonyCertificate(
  kind: CeremonyCertificate['kind'], certificate: Uint8Array, subjectId: number | undefined, issuerId: number | undefined,
): CeremonyCertificate {
  const { serial, notBefore, notAfter } = parseCertificate(certificate);
  return { kind, subjectId, issuerId, serial, certificate, notBefore, notAfter };
}

let count = 0;

/** VINs with a valid check digit, no two alike. */
export function someVin(): Vin {
  const text = `WFR00000${'0'}${String(count++).padStart(8, '0')}`;
  return vin(text.slice(0, 8) + vinCheckDigit(text) + text.slice(9));
}

/** `n` requests of one vehicle, ordinals from `first`; the CSR is noise of a usual length: the ledger never reads it. */
export function requests(first: number, n: number, vehicle: Vin = someVin()): RequestItem[] {
  return Array.from({ length: n }, (_, i) => ({
    ordinal: first + i, ecuSerial: ecuSerial(`ECU-${++count}`), partNumber: partNumber('PN-100-A'), vin: vehicle, csr: randomBytes(420),
  }));
}

export const sha256 = (...parts: readonly (string | Uint8Array)[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

/** The intent of an attempt, each item with a key of its own. */
export function intentFor(chunk: ClaimedChunk): NewIntent {
  return {
    caId: chunk.caId, seed: randomBytes(32), signedAt: new Date(), notAfter: new Date(Date.now() + 365 * day),
    keys: chunk.requests.map(({ ordinal, ecuSerial: serial, csr }) => ({ ordinal, spkiSha256: sha256(csr), owner: `ecu:${serial}` })),
  };
}

/** Certificates for the chunk's requests; the DER is noise of a usual length. */
export function issuedFor(key: LedgerKey, chunk: ClaimedChunk, intent: NewIntent, skip: readonly number[] = []): IssuedItem[] {
  return chunk.requests.filter(({ ordinal }) => !skip.includes(ordinal)).map(({ ordinal, ecuSerial: serial, csr }) => ({
    ordinal, serial: key.deriveSerial({ ...intent, form: 2 }, ordinal), ecuSerial: serial, subjectName: undefined, spkiSha256: sha256(csr),
    notBefore: intent.signedAt, notAfter: intent.notAfter, der: randomBytes(600),
  }));
}

/** An accepted batch of chunks of the given sizes. */
export async function acceptedBatch(ledger: TestLedger, sizes: readonly number[]): Promise<{ batchId: string; chunkIds: bigint[] }> {
  const { store, batch } = ledger;
  const begun = await store.batches.begin(batch);
  if (begun.kind !== 'new') throw new Error('the batch is not new');
  let first = 0;
  for (const size of sizes) {
    await store.batches.append(begun.batchId, requests(first, size), []);
    first += size;
  }
  await store.batches.accept(begun.batchId, sha256('body'), event('batch.accepted', `batch:${begun.batchId}`));
  const rows = (await store.outbox.pending(10_000)).filter(({ job }) => job === 'issue-chunk' || job === 'renew-chunk')
    .toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(-sizes.length);
  await store.outbox.remove(rows.map(({ id }) => id));
  return { batchId: begun.batchId, chunkIds: rows.map(({ payload }) => BigInt((payload as { chunkId: string }).chunkId)) };
}

/** Claims, records the intent and completes: what an issuer does, without the signatures. */
export async function issueChunk(ledger: TestLedger, chunkId: bigint): Promise<IssuedItem[]> {
  const { store, key } = ledger;
  const chunk = await store.issuance.claim(chunkId, 30_000);
  if (chunk === undefined) throw new Error(`chunk ${chunkId} is held`);
  const intent = intentFor(chunk);
  const { intentId, refused } = await store.issuance.recordIntent(chunk, intent);
  const issued = issuedFor(key, chunk, intent, refused.map(({ ordinal }) => ordinal));
  const failed = refused.map(({ ordinal, code }) => ({ ordinal, code, detail: 'refused with the intent' }));
  await store.issuance.complete(chunk, intentId, issued, failed, event('chunk.issued', `batch:${chunk.batchId}`));
  return issued;
}
