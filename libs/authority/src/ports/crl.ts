/**
 * Which certificates of a CA a CRL is about: `all` of them, or `SHARDS/SHARD`, those of profiles with so many
 * `crlShards` whose `crlShard(serial, SHARDS)` is SHARD.
 */
export type CrlScope = 'all' | `${number}/${number}`;
export type CrlKind = 'full' | 'delta';

export interface PublishedCrl {
  readonly caId: number;
  readonly scope: CrlScope;
  readonly kind: CrlKind;
  /** Of one run that made several: the same (RFC 5280 sections 5.2.3 and 5.2.4). */
  readonly number: bigint;
  /** Of a delta: the number of the full CRL of its scope that it adds to. */
  readonly baseNumber: bigint | undefined;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly entries: number;
  /** Of `der`. */
  readonly sha256: Uint8Array;
  readonly der: Uint8Array;
}

/** A published CRL without its octets. */
export type CrlHead = Omit<PublishedCrl, 'der'>;

/** A scope of a CA for which CRLs are published. */
export interface CrlScopeFacts {
  readonly scope: CrlScope;
  /** What the certificates of the scope name as their CRL distribution point, octet for octet; empty for `all`. */
  readonly uris: readonly string[];
  /** When the newest of `uris` came; a CRL from before lacks it. */
  readonly since: Date;
}

/** What changed in a scope since a time: revoked, put on hold, released, another reason, burned. */
export interface ScopeChanges {
  readonly scope: CrlScope;
  readonly count: number;
  readonly newestAt: Date;
  /** The newest of those where somebody else may have the key. */
  readonly urgentAt: Date | undefined;
}

/** A CRL that is to be made. */
export interface PlannedCrl {
  readonly scope: CrlScope;
  readonly kind: CrlKind;
  readonly nextUpdate: Date;
  /** Of a delta; `own`: the number that is reserved now. */
  readonly base: bigint | 'own' | undefined;
}

/** One revoked or burned serial, as CRLs list it. Times are milliseconds since 1970. */
export interface ListedEntry {
  readonly shards: number;
  readonly shard: number;
  readonly serial: Uint8Array;
  readonly reason: number;
  readonly revokedAt: number;
  readonly invalidityDate: number | null;
  readonly notAfter: number;
  readonly changedAt: number;
  /** A hold that was released: not revoked; deltas say removeFromCRL. */
  readonly released: boolean;
}

export interface WantedEntries {
  /** `all`: every entry of the CA, by serial; else those of these scopes, by shards, shard and serial. */
  readonly scopes: 'all' | readonly CrlScope[];
  /** Of certificates that end then or later. */
  readonly endingFrom: Date;
  /** Changed then or later; undefined: whenever. */
  readonly changedFrom: Date | undefined;
}

/** A CRL to be swapped in, after the one that it was compared with. */
export interface CrlSwap {
  readonly crl: PublishedCrl;
  /** Number of the newest of its scope and kind; undefined: there is none. */
  readonly after: bigint | undefined;
}
