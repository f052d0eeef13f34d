import { createHash } from 'node:crypto';
import { type LedgerKey, toHex } from '@fleetroot/core';
import type {
  InspectedBurnedSerial, InspectedCertificate, InspectedChunk, InspectedChunkEvent, InspectedFailure, InspectedIntent,
} from '../ports/inspection.ts';
import type { Findings } from './report.ts';

/** All that is on record of one chunk. */
export interface ChunkRecord {
  readonly id: bigint;
  /** undefined: the chunk is gone, or never was. */
  readonly chunk: InspectedChunk | undefined;
  readonly intents: readonly InspectedIntent[];
  readonly certificates: readonly InspectedCertificate[];
  readonly failures: readonly InspectedFailure[];
  readonly burned: readonly InspectedBurnedSerial[];
  readonly events: readonly InspectedChunkEvent[];
}

export interface ChunkSurroundings {
  readonly key: LedgerKey;
  readonly findings: Findings;
  /** Until when burned serials must be on record: thisUpdate of the CRL that is published, in milliseconds (I12). */
  readonly shownUntil: (caId: number) => number;
  /** Whether rows were moved into archives: a chunk that is gone is then no breach. */
  readonly archived: boolean;
}

/** What must hold of one chunk. Pure: it only tells `findings`. */
export function inspectChunk(record: ChunkRecord, around: ChunkSurroundings): void {
  const serials = serialsOf(record.intents, around.key);
  sums(record, around.findings);
  requests(record, around.findings);
  intents(record, around.findings);
  certificatesHaveIntents(record, serials, around.findings);
  burned(record, serials, around);
  events(record, around);
}

type SerialOf = (intent: InspectedIntent, ordinal: number) => Uint8Array | undefined;

/** The serial that an intent fixes; undefined for a form that nobody knows. */
function serialsOf(all: readonly InspectedIntent[], key: LedgerKey): SerialOf {
  const sources = new Map(all.map((intent) => [intent.id, { seed: intent.seed, signedAt: new Date(intent.signedAt), form: intent.serialForm }]));
  return ({ id }, ordinal) => {
    const source = sources.get(id);
    if (source === undefined || (source.form !== 1 && source.form !== 2)) return undefined;
    return key.deriveSerial({ ...source, form: source.form }, ordinal);
  };
}

function sums({ id, chunk, certificates, failures }: ChunkRecord, findings: Findings): void {
  if (chunk === undefined) return;
  const failed = failures.length + (chunk.refusal === null || chunk.state !== 'done' ? 0 : chunk.items - failures.length - certificates.length);
  const told = (what: string, counted: number, there: number): void => {
    if (counted !== there) findings.breach('chunk-sum', `chunk ${id}`, `counts ${counted} ${what}, and ${there} are on record`);
  };
  told('certificates', chunk.issued, certificates.length);
  told('failures', chunk.failed, failed);
  if (chunk.state === 'done' && chunk.issued + chunk.failed !== chunk.items) {
    findings.breach('chunk-sum', `chunk ${id}`, `is done with ${chunk.issued} issued and ${chunk.failed} failed of ${chunk.items}`);
  }
  outcomes(chunk, certificates, failures, findings);
}

/** Both are in the order of their places. */
function outcomes(chunk: InspectedChunk, certificates: readonly InspectedCertificate[], failures: readonly InspectedFailure[], findings: Findings): void {
  const times = new Uint8Array(chunk.items);
  let outside = 0;
  for (const { ordinal } of [...certificates, ...failures]) {
    const place = ordinal - chunk.first;
    if (place < 0 || place >= chunk.items) outside++;
    else times[place] = (times[place] ?? 0) + 1;
  }
  const wrong = times.findIndex((count) => count > 1 || (count === 0 && chunk.state === 'done' && chunk.refusal === null));
  if (wrong >= 0) findings.breach('body-once', `item ${chunk.first + wrong} of batch ${chunk.batchId}`, `has ${times[wrong]} outcomes`);
  if (outside > 0) findings.breach('body-once', `chunk ${chunk.id}`, `has ${outside} outcomes of items that are not its own`);
}

function requests({ id, chunk }: ChunkRecord, findings: Findings): void {
  if (chunk === undefined || (chunk.state === 'done') !== chunk.requests) return;
  findings.breach('chunk-requests', `chunk ${id}`, chunk.requests ? 'is done, and its requests are still kept' : `is ${chunk.state}, and its requests are gone`);
}

function intents({ id, chunk, intents: all }: ChunkRecord, findings: Findings): void {
  const stored = all.filter(({ state }) => state === 'stored');
  if (stored.length > 1) findings.breach('intent-single', `chunk ${id}`, `has ${stored.length} stored intents`);
  for (const intent of all) {
    const held = chunk?.state === 'signing' && chunk.fence === intent.fence;
    if (intent.state === 'open' && !held) findings.breach('intent-single', `intent ${intent.id}`, 'is open, and nobody holds its chunk for it');
    if (chunk !== undefined && intent.fence > chunk.fence) findings.breach('intent-single', `intent ${intent.id}`, `is of attempt ${intent.fence} at a chunk that was claimed ${chunk.fence} times`);
  }
}

function certificatesHaveIntents({ id, intents: all, certificates }: ChunkRecord, serialOf: SerialOf, findings: Findings): void {
  const byId = new Map(all.map((intent) => [intent.id, intent]));
  for (const certificate of certificates) {
    const intent = certificate.intentId === null ? undefined : byId.get(certificate.intentId);
    const fault = intentFault(intent, certificate);
    if (fault !== undefined) findings.breach('intent-stored', `serial ${toHex(certificate.serial)}`, `${fault} (chunk ${id})`);
    if (intent === undefined) continue;
    const serial = serialOf(intent, certificate.ordinal);
    if (serial === undefined || !same(serial, certificate.serial)) {
      findings.breach('serial-derived', `serial ${toHex(certificate.serial)}`, `is not that of item ${certificate.ordinal} of intent ${intent.id}`);
    }
  }
}

/** How far the clocks of an issuer and of the database may be apart (I24), with a little air, in milliseconds. */
const CLOCKS_MS = 10_000;

function intentFault(intent: InspectedIntent | undefined, certificate: InspectedCertificate): string | undefined {
  if (intent === undefined) return 'has no intent of its chunk';
  if (intent.state !== 'stored') return `has an intent that is ${intent.state}`;
  if (intent.caId !== certificate.caId) return 'has an intent of another CA';
  if (intent.profileVersionId !== certificate.profileVersionId) return 'has an intent of another profile version';
  return certificate.issuedAt < intent.signedAt - CLOCKS_MS ? 'was stored before its intent' : undefined;
}

function burned({ id, intents: all, failures, burned: rows }: ChunkRecord, serialOf: SerialOf, { findings, shownUntil }: ChunkSurroundings): void {
  const there = new Set(rows.map((row) => nameOf(row.caId, row.serial)));
  const expect = (intent: InspectedIntent, ordinal: number): void => {
    const serial = serialOf(intent, ordinal);
    if (serial === undefined || there.delete(nameOf(intent.caId, serial)) || intent.notAfter < shownUntil(intent.caId)) return;
    findings.breach('intent-burned', `serial ${toHex(serial)}`, `of item ${ordinal} of the ${intent.state} intent ${intent.id} is not burned`);
  };
  for (const intent of all) {
    if (intent.state === 'abandoned') {
      const untouched = new Set(intent.untouched === '' ? [] : intent.untouched.split(',').map(Number));
      for (let ordinal = intent.first; ordinal < intent.first + intent.items; ordinal++) if (!untouched.has(ordinal)) expect(intent, ordinal);
    } else if (intent.state === 'stored') {
      // Single items of an attempt that was stored otherwise.
      for (const { ordinal, code } of failures) if (code === 'issuance.abandoned') expect(intent, ordinal);
    }
  }
  for (const name of there) findings.breach('intent-burned', `serial ${name.slice(name.indexOf('/') + 1)}`, `is burned, and no intent of chunk ${id} tells why`);
}

function events({ id, chunk, intents: all, certificates, events: told }: ChunkRecord, { findings, archived }: ChunkSurroundings): void {
  const issued = told.filter(({ action }) => action === 'chunk.issued');
  const expected = chunk?.state === 'done' && chunk.fence > 0 && chunk.refusal === null ? 1 : 0;
  if (chunk === undefined ? issued.length > 0 && !archived : issued.length !== expected) {
    findings.breach('chunk-event', `chunk ${id}`, `${chunk === undefined ? 'is not on record, and' : `is ${chunk.state}, and`} has ${issued.length} events chunk.issued`);
  }
  const [event] = issued;
  if (event !== undefined && chunk !== undefined) compareWithEvent(event, certificates, all, findings);
  for (const intent of all) {
    const times = told.filter(({ action, intentId }) => action === 'intent.abandoned' && intentId === intent.id).length;
    if (times !== (intent.state === 'abandoned' ? 1 : 0)) findings.breach('chunk-event', `intent ${intent.id}`, `is ${intent.state}, and has ${times} events intent.abandoned`);
  }
}

function compareWithEvent(event: InspectedChunkEvent, certificates: readonly InspectedCertificate[], all: readonly InspectedIntent[], findings: Findings): void {
  const digest = createHash('sha256');
  for (const { der } of certificates) digest.update(der);
  const subject = `chunk ${event.chunkId}`;
  const tell = (what: string): void => findings.breach('chunk-event', subject, `${what} (event ${event.seq})`);
  if (event.issued !== certificates.length) tell(`the audit log tells of ${event.issued} certificates, ${certificates.length} are on record`);
  else if (certificates.length > 0 && digest.digest('hex') !== event.certificatesSha256) tell('its certificates are not those that the audit log tells of');
  const stored = all.find(({ state }) => state === 'stored');
  if ((stored?.id ?? null) !== event.intentId) tell(`the audit log tells of intent ${event.intentId}, the stored one is ${stored?.id}`);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && Buffer.compare(a, b) === 0;
const nameOf = (caId: number, serial: Uint8Array): string => `${caId}/${toHex(serial)}`;
