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
