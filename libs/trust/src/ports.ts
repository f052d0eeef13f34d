import type { AuditEvent } from '@fleetroot/audit';

export interface TruststoreVersion {
  readonly truststore: string;
  /** Counts from 1. */
  readonly version: number;
  readonly caIds: readonly number[];
  /** SHA-256 of the PEM. */
  readonly sha256: Uint8Array;
  /** CA certificates, roots first. */
  readonly pem: string;
  readonly createdAt: Date;
}

export interface TruststoreLedger {
  names(): Promise<readonly string[]>;
  /** @throws PkiError `truststore.not-found` */
  current(name: string): Promise<TruststoreVersion>;
  /**
   * A new version where the content differs from the current one, else the current one.
   * @param description undefined keeps the one on record
   * @param basedOn the version that the new content was made from: where the current one is another, somebody was faster;
   *   then nothing changes, and the current one is returned
   */
  publish(
    name: string, description: string | undefined, caIds: readonly number[], pem: string,
    event: (version: number) => AuditEvent, basedOn?: number,
  ): Promise<TruststoreVersion>;
}
