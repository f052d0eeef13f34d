import type { CeremonyCertificate, CertificationAuthority } from './authorities.ts';
import type { CrlHead } from './crl.ts';

export interface PublishedTruststore {
  readonly truststore: string;
  readonly version: number;
  readonly caIds: readonly number[];
  /** CA certificates, roots first. */
  readonly pem: string;
  readonly createdAt: Date;
}

/** The octets of a published CRL. */
export interface CrlContent {
  readonly der: Uint8Array;
  /** No earlier CRL of its scope and kind bears the same thisUpdate: by that alone it is told from those before. */
  readonly dated: boolean;
}

/** What relying parties are given, as the ledger has it: read by whoever serves or copies it. */
export interface PublishedLedger {
  authorities(): Promise<readonly CertificationAuthority[]>;
  /** What ceremonies have made for keys of CAs, neither expired nor revoked at `now`: their own certificates, and those by others; newest first. */
  usableCertificates(now: Date): Promise<readonly CeremonyCertificate[]>;
  /** The current version of each truststore, by name. */
  truststoreVersions(): Promise<ReadonlyMap<string, number>>;
  /** Its current version. @throws PkiError `truststore.not-found` */
  truststore(name: string): Promise<PublishedTruststore>;
  /**
   * What was published at or after `since`, the ledger's own time; of everything the newest where `since` is undefined.
   * The next call passes `at`, less as long as a publication may take to commit.
   */
  crlsSince(since: Date | undefined): Promise<{ readonly heads: readonly CrlHead[]; readonly at: Date }>;
  /** undefined: the ledger does not hold its octets any more, as newer ones are published. */
  crlContent(head: CrlHead): Promise<CrlContent | undefined>;
}
