import { readFileSync } from 'node:fs';
import { wrongUse } from '../line/batch/line-error.ts';

/** What says which certificates are meant. */
export interface QueryFlags {
  readonly ca?: string;
  readonly vinFile?: string;
  readonly ecuSerial?: string;
  readonly partNumber?: string;
  readonly lot?: string;
  readonly supplier?: string;
  readonly profile?: string;
  readonly issuedFrom?: string;
  readonly issuedUntil?: string;
  readonly publicKey?: string;
}

/** The query as the API takes it. A VIN comes from a file: what stands on a command line anybody on the machine can read. @throws LineError */
export function queryOf(flags: QueryFlags): Readonly<Record<string, string>> {
  const { ca, vinFile, ecuSerial, partNumber, lot, supplier, profile, issuedFrom, issuedUntil, publicKey } = flags;
  const given: Record<string, string | undefined> = {
    ca, ecuSerial, partNumber, lot, supplier, profile, vin: vinFile === undefined ? undefined : contentOf(vinFile === '-' ? 0 : vinFile, vinFile),
    issuedFrom: instantOf(issuedFrom, '--issued-from'), issuedUntil: instantOf(issuedUntil, '--issued-until'),
    publicKey: publicKey === undefined || /^[0-9a-fA-F]{64}$/.test(publicKey) ? publicKey : contentOf(publicKey, publicKey),
  };
  return Object.fromEntries(Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** A day is its beginning in UTC. @throws LineError */
export function instantOf(text: string | undefined, flag: string): string | undefined {
  if (text === undefined) return undefined;
  const at = new Date(text);
  if (!/^\d{4}-\d\d-\d\d(?:T.*)?$/.test(text) || Number.isNaN(at.getTime())) throw wrongUse(`${flag} takes a time, as 2026-11-23 or 2026-11-23T06:00:00Z`);
  return at.toISOString();
}

function contentOf(path: string | number, name: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    throw wrongUse(`${name} cannot be read`);
  }
}
