import type {
  CeremonyCertificateKind, InspectedAuthority, InspectedCeremonyCertificate, InspectionLedger, LedgerView, ProfileVersionRecord,
} from '@fleetroot/authority';
import type { Secret } from '@fleetroot/core';
import { AUTHORITY_COLUMNS, authorityOf, type AuthorityRow } from '../authorities/authority-row.ts';
import { column } from './binary-row.ts';
import { setSelects } from './set-checks.ts';
import { Snapshot } from './snapshot.ts';
import * as streams from './streams.ts';

/** See InspectionLedger. Any role that may SELECT will do. */
export class PostgresInspectionLedger implements InspectionLedger {
  readonly #databaseUrl: Secret;

  constructor(databaseUrl: Secret) {
    this.#databaseUrl = databaseUrl;
  }

  async inspect<T>(work: (view: LedgerView) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const snapshot = await Snapshot.open(this.#databaseUrl);
    const close = (): void => void snapshot.close();
    signal?.addEventListener('abort', close, { once: true });
    try {
      return await work(await viewOf(snapshot));
    } finally {
      signal?.removeEventListener('abort', close);
      await snapshot.close();
    }
  }
}

interface Totals {
  readonly at: Date;
  readonly certificates: string;
  readonly chunks: string;
  readonly events: string;
  readonly listed: string;
}

async function viewOf(snapshot: Snapshot): Promise<LedgerView> {
  const [totals] = await snapshot.query<Totals>(`
    SELECT clock_timestamp() AS at, (SELECT coalesce(sum(issued), 0) FROM chunk) AS certificates, (SELECT count(*) FROM chunk) AS chunks,
      (SELECT seq FROM audit_head) AS events, (SELECT count(*) FROM revocation WHERE released_at IS NULL) + (SELECT count(*) FROM burned_serial) AS listed`);
  const archived = await hasArchives(snapshot);
  return {
    at: totals?.at ?? new Date(), archived,
    totals: {
      certificates: Number(totals?.certificates ?? 0), chunks: Number(totals?.chunks ?? 0), events: Number(totals?.events ?? 0),
      listed: Number(totals?.listed ?? 0),
    },
    authorities: () => authorities(snapshot),
    profiles: () => snapshot.query<ProfileVersionRecord>('SELECT id, name, document FROM profile_version ORDER BY id'),
    ceremonyCertificates: () => ceremonyCertificates(snapshot),
    async auditHead() {
      const [head] = await snapshot.query<{ seq: string; hash: Buffer }>('SELECT seq, hash FROM audit_head');
      return { seq: BigInt(head?.seq ?? 0), hash: head?.hash ?? new Uint8Array(32) };
    },
    async auditHeadsSeen() {
      const rows = await snapshot.query<{ seq: string; hash: string }>(`
        SELECT report -> 'auditHead' ->> 'seq' AS seq, report -> 'auditHead' ->> 'hash' AS hash FROM inspection
        WHERE report -> 'auditHead' ->> 'seq' IS NOT NULL ORDER BY id DESC LIMIT 400`);
      return rows.map(({ seq, hash }) => ({ seq: BigInt(seq), hash })).reverse();
    },
    async lostSignatures() {
      const [row] = await snapshot.query<{ lost: string }>('SELECT (SELECT count(*) FROM burned_serial) + (SELECT count(*) FROM crl WHERE der IS NULL) AS lost');
      return Number(row?.lost ?? 0);
    },
    async shownUntil() {
      const rows = await snapshot.query<{ ca_id: number; at: Date }>(`SELECT ca_id, max(this_update) AS at FROM crl WHERE scope = 'all' AND kind = 'full' AND published_at IS NOT NULL GROUP BY ca_id`);
      return new Map(rows.map(({ ca_id, at }) => [ca_id, at.getTime()]));
    },
    chunks: () => read(snapshot, streams.chunks),
    intents: () => read(snapshot, streams.intents),
    certificates: () => read(snapshot, streams.certificates),
    failures: () => read(snapshot, streams.failures),
    burned: () => read(snapshot, streams.burned),
    chunkEvents: () => read(snapshot, streams.chunkEvents),
    events: () => read(snapshot, streams.events),
    listed: (caId) => read(snapshot, streams.listed(caId)),
    crls: (caId) => read(snapshot, streams.crls(caId)),
    filters: (caId) => read(snapshot, streams.filters(caId)),
    breaches: (check) => snapshot.rows(setSelects(archived)[check], { subject: column.text, detail: column.text }),
  };
}

/** Nothing was ever deleted but what an archive holds. */
async function hasArchives(snapshot: Snapshot): Promise<boolean> {
  const [there] = await snapshot.query<{ there: boolean }>(`SELECT to_regclass('archive') IS NOT NULL AS there`);
  if (there?.there !== true) return false;
  const [archives] = await snapshot.query<{ deleted: boolean }>('SELECT EXISTS (SELECT FROM archive WHERE deleted_at IS NOT NULL) AS deleted');
  return archives?.deleted === true;
}

const read = <Row>(snapshot: Snapshot, { select, shape }: streams.Stream<Row>): AsyncGenerator<readonly Row[]> => snapshot.rows(select, shape);

interface InspectedAuthorityRow extends AuthorityRow {
  readonly spki_sha256: Buffer;
  readonly crl_number: string;
  readonly last_signed_at: Date | null;
  readonly told_revoked_at: Date | null;
}

async function authorities(snapshot: Snapshot): Promise<readonly InspectedAuthority[]> {
  const rows = await snapshot.query<InspectedAuthorityRow>(`
    SELECT ${AUTHORITY_COLUMNS}, spki_sha256, crl_number, last_signed_at, told.at AS told_revoked_at
    FROM ca LEFT JOIN (SELECT payload::json ->> 'subject' AS subject, min(at) AS at FROM audit_event
      WHERE payload LIKE '{"action":"ca.revoked",%' GROUP BY 1) AS told ON told.subject = 'ca:' || ca.name
    ORDER BY id`);
  return rows.map((row) => ({
    ...authorityOf(row), spkiSha256: row.spki_sha256, crlNumber: BigInt(row.crl_number), lastSignedAt: row.last_signed_at?.getTime() ?? null,
    toldRevokedAt: row.told_revoked_at?.getTime() ?? null,
  }));
}

interface CeremonyRow {
  readonly kind: CeremonyCertificateKind;
  readonly subject_id: number | null;
  readonly issuer_id: number | null;
  readonly serial: Buffer;
  readonly der: Buffer;
  readonly sha256: Buffer;
  readonly not_before: Date;
  readonly not_after: Date;
}

async function ceremonyCertificates(snapshot: Snapshot): Promise<readonly InspectedCeremonyCertificate[]> {
  const rows = await snapshot.query<CeremonyRow>('SELECT kind, subject_id, issuer_id, serial, der, sha256, not_before, not_after FROM ceremony_certificate ORDER BY id');
  return rows.map((row) => ({
    kind: row.kind, subjectId: row.subject_id, issuerId: row.issuer_id, serial: row.serial, der: row.der, sha256: row.sha256,
    notBefore: row.not_before.getTime(), notAfter: row.not_after.getTime(),
  }));
}
