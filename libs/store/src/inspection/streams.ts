import type {
  CrlKind, CrlScope, InspectedBurnedSerial, InspectedCertificate, InspectedChunk, InspectedChunkEvent, InspectedCrl, InspectedEvent, InspectedFailure,
  InspectedFilter,
  InspectedIntent, InspectedListing,
} from '@fleetroot/authority';
import { type Column, column, orNull, type Shape } from './binary-row.ts';

/** A SELECT and what its columns are, in its order. */
export interface Stream<Row> {
  readonly select: string;
  readonly shape: Shape<Row>;
}

const { int4, int8, time, text, bool, bytes } = column;

export const chunks: Stream<InspectedChunk> = {
  select: `SELECT id, batch_id::text, first, items, state, fence, issued, failed, refusal, sealed IS NOT NULL FROM chunk ORDER BY id`,
  shape: {
    id: int8, batchId: text, first: int4, items: int4, state: text, fence: int4, issued: int4, failed: int4, refusal: orNull(text), requests: bool,
  },
};

export const intents: Stream<InspectedIntent> = {
  select: `SELECT id, chunk_id, fence, ca_id, profile_version_id, seed, signed_at, not_after, first, items, state, serial_form::int, array_to_string(untouched, ',')
    FROM intent ORDER BY chunk_id, fence`,
  shape: {
    id: int8, chunkId: int8, fence: int4, caId: int4, profileVersionId: int4, seed: bytes, signedAt: time, notAfter: time, first: int4,
    items: int4, state: text, serialForm: int4, untouched: text,
  },
};

export const certificates: Stream<InspectedCertificate> = {
  select: `SELECT chunk_id, ordinal, intent_id, ca_id, serial, profile_version_id, ecu_serial, spki_sha256, not_before, not_after, issued_at, der
    FROM certificate ORDER BY chunk_id, ordinal`,
  shape: {
    chunkId: orNull(int8), ordinal: int4, intentId: orNull(int8), caId: int4, serial: bytes, profileVersionId: int4, ecuSerial: orNull(text),
    spkiSha256: bytes, notBefore: time, notAfter: time, issuedAt: time, der: bytes,
  },
};

export const failures: Stream<InspectedFailure> = {
  select: 'SELECT chunk_id, ordinal, code FROM failure ORDER BY chunk_id, ordinal',
  shape: { chunkId: int8, ordinal: int4, code: text },
};

export const burned: Stream<InspectedBurnedSerial> = {
  select: `SELECT i.chunk_id, b.intent_id, b.ca_id, b.serial FROM burned_serial b LEFT JOIN intent i ON i.id = b.intent_id ORDER BY i.chunk_id, b.intent_id, b.serial`,
  shape: { chunkId: orNull(int8), intentId: int8, caId: int4, serial: bytes },
};

/** Canonical JSON has its members in order: what an event is about stands at its beginning. Each is read once, and sorted. */
export const chunkEvents: Stream<InspectedChunkEvent> = {
  select: `SELECT seq, CASE WHEN action = 'chunk.issued' THEN (data ->> 'chunk')::bigint ELSE substring(subject FROM 'chunk:([0-9]+)')::bigint END AS chunk,
      action, (data ->> 'intent')::bigint, (data ->> 'issued')::int, data ->> 'certificatesSha256'
    FROM (SELECT seq, p ->> 'action' AS action, p ->> 'subject' AS subject, p -> 'data' AS data
      FROM (SELECT seq, payload::json AS p FROM audit_event
        WHERE payload LIKE '{"action":"chunk.issued",%' OR payload LIKE '{"action":"intent.abandoned",%') AS told) AS event
    WHERE action = 'chunk.issued' OR subject LIKE 'chunk:%' ORDER BY chunk, seq`,
  shape: { seq: int8, chunkId: int8, action: text, intentId: orNull(int8), issued: orNull(int4), certificatesSha256: orNull(text) },
};

export const events: Stream<InspectedEvent> = {
  select: 'SELECT seq, payload, prev_hash, hash FROM audit_event ORDER BY seq',
  shape: { seq: int8, payload: text, prevHash: bytes, hash: bytes },
};

export const listed = (caId: number): Stream<InspectedListing> => ({
  select: `SELECT serial, reason, not_after, revoked_at, changed_at, shards, shard FROM revocation WHERE ca_id = ${Math.trunc(caId)} AND released_at IS NULL
    UNION ALL SELECT serial, 0, not_after, burned_at, burned_at, shards, shard FROM burned_serial WHERE ca_id = ${Math.trunc(caId)} ORDER BY serial`,
  shape: { serial: bytes, reason: int4, notAfter: time, at: time, changedAt: time, shards: int4, shard: int4 },
});

export const crls = (caId: number): Stream<InspectedCrl> => ({
  select: `SELECT scope, kind, number, base_number, this_update, next_update, entries, sha256, der FROM crl
    WHERE ca_id = ${Math.trunc(caId)} AND published_at IS NOT NULL AND der IS NOT NULL ORDER BY scope, kind, number DESC`,
  shape: {
    scope: text as Column<CrlScope>, kind: text as Column<CrlKind>, number: int8, baseNumber: orNull(int8), thisUpdate: time, nextUpdate: time,
    entries: orNull(int4), sha256: orNull(bytes), der: bytes,
  },
});

export const filters = (caId: number): Stream<InspectedFilter> => ({
  select: `SELECT version, base_version, sha256, content FROM revocation_filter WHERE ca_id = ${Math.trunc(caId)} ORDER BY version DESC`,
  shape: { version: int8, baseVersion: int8, sha256: bytes, content: orNull(bytes) },
});
