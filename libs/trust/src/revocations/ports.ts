export interface ChangedRevocation {
  readonly caId: number;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
  readonly changedAt: Date;
  /** SHA-256 of the certificate's SubjectPublicKeyInfo, where its key was blocked. */
  readonly keySha256?: Uint8Array;
}

export interface RevocationChanges {
  /** The time of the ledger; what changes later has a later time, but for transactions that are open now. */
  readonly at: Date;
  /** Certificates whose revocation came, changed or was released. */
  readonly changed: readonly ChangedRevocation[];
}

/** What the ledger tells of revocations. */
export interface RevocationFeed {
  /**
   * What changed after `since` by the ledger's clock, of each CA the newest `limit`.
   * @param since undefined: only the time is asked for
   * @throws PkiError `store.unavailable` while the database is away
   */
  changes(since: Date | undefined, limit: number): Promise<RevocationChanges>;
  /**
   * Tells of each revocation as it is committed, until the returned function is called. What was told while nobody could
   * listen is lost: `gap` is called when the ledger can be heard (again), and where something was told that nobody
   * understands.
   * @param told `serial` in hex; undefined: any of the CA's
   */
  listen(told: (caId: number, serial: string | undefined) => void, gap: () => void): () => void;
}
