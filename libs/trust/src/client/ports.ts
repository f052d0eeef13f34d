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

export interface StatusChanges {
  /** The time of the ledger; what changes later has a later time, but for transactions that are open now. */
  readonly at: Date;
  /** Certificates whose revocation came, changed or was released; `keySha256` (of the SubjectPublicKeyInfo) where their key was blocked. */
  readonly changed: readonly (ClientKey & { readonly keySha256?: Uint8Array })[];
  /** CAs with so many changes that they are not told one by one. */
  readonly many: readonly number[];
}

/** What the ledger tells an authorizer. Each method throws `store.unavailable` while the database is away. */
export interface ClientLedger {
  /** In the order asked, all of one moment; undefined: not on record. */
  clients(asked: readonly ClientKey[]): Promise<readonly (ClientRecord | undefined)[]>;
  /** @param since undefined: only the time is asked for */
  changes(since: Date | undefined): Promise<StatusChanges>;
  /** Ids of the CAs in each truststore, by its name. */
  members(): Promise<ReadonlyMap<string, readonly number[]>>;
  /**
   * Tells of each revocation as it is committed, until the returned function is called. What was told while nobody could
   * listen is lost: `gap` is called when the ledger can be heard (again).
   * @param told `serial` in hex; undefined: any of the CA's
   */
  listen(told: (caId: number, serial: string | undefined) => void, gap: () => void): () => void;
}
