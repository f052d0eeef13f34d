import { createHash } from 'node:crypto';
import type { AuditEvent, AuditValue } from './event.ts';

/** The hash that event 1 is chained to. */
export const GENESIS: Uint8Array = new Uint8Array(32);

/** Canonical JSON after RFC 8785 for the values an event may hold: keys in code-unit order, no white space. */
export function canonicalJson(value: AuditValue): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** The octets of an event that its hash covers, as text. */
export function eventPayload(event: AuditEvent): string {
  return canonicalJson({
    action: event.action,
    actor: event.actor,
    at: event.at.toISOString(),
    data: event.data,
    subject: event.subject,
  });
}

/** SHA-256 over the previous hash, the sequence number as 8 octets big-endian, and the payload's UTF-8. */
export function chainHash(previous: Uint8Array, seq: bigint, payload: string): Uint8Array {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(seq);
  return new Uint8Array(createHash('sha256').update(previous).update(number).update(payload, 'utf8').digest());
}
