import type { RevocationFeed } from '../revocations/ports.ts';

/** A CA as it is judged by: its own state and that of every CA above it. */
export interface ClientAuthority {
  readonly id: number;
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** Relying parties are to trust it. */
  readonly trusted: boolean;
  /** It, or a CA above it, is revoked. */
  readonly revoked: boolean;
}

export interface ClientKey {
  readonly caId: number;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
}

/** What is on record of a certificate at one moment. */
export interface ClientRecord {
  /** SHA-256 of its DER. */
  readonly sha256: Uint8Array;
  readonly profile: string;
  readonly ecuSerial: string | undefined;
  readonly partNumber: string | undefined;
  readonly vin: string | undefined;
  /** A hold that was released is none; a burned serial is revoked. */
  readonly status: 'good' | 'held' | 'revoked';
  readonly keyBlocked: boolean;
}

/** What the ledger tells an authorizer. Each method throws `store.unavailable` while the database is away. */
export interface ClientLedger extends RevocationFeed {
  /** In the order asked, all of one moment; undefined: not on record. */
  clients(asked: readonly ClientKey[]): Promise<readonly (ClientRecord | undefined)[]>;
  /** Ids of the CAs in each truststore, by its name. */
  members(): Promise<ReadonlyMap<string, readonly number[]>>;
}
