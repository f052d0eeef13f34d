import { hash } from 'node:crypto';

/** What HTTP may know of an object that is served: how long a cache may keep it, and how to ask whether it changed. */
export interface Freshness {
  readonly etag: string;
  readonly lastModified: Date | undefined;
  /** Seconds; 0: ask again each time. */
  readonly maxAge: number;
}

/** A cache may keep what is replaced before its time (a CRL or an OCSP answer after a revocation) for so long, in seconds. */
const LONGEST_AGE = 300;

/** Freshness of an object that holds from `thisUpdate` to `nextUpdate`: a cache never keeps it beyond its end. */
export function freshUntil(octets: Uint8Array, thisUpdate: Date, nextUpdate: Date, now: Date): Freshness {
  return { etag: etagOf(octets), lastModified: thisUpdate, maxAge: ageUntil(nextUpdate.getTime(), now.getTime()) };
}

/** How long a cache may keep what holds until `nextUpdate` (both in milliseconds since 1970), in seconds, and what is replaced often not longer than `longest`. */
export const ageUntil = (nextUpdate: number, now: number, longest = LONGEST_AGE): number =>
  Math.max(0, Math.min(longest, Math.floor((nextUpdate - now) / 1000)));

/** A strong entity tag of the octets. */
export const etagOf = (octets: Uint8Array): string => tagOf(hash('sha256', octets, 'buffer'));

/** That of octets with this SHA-256, or of their gzip: another representation. */
export const tagOf = (sha256: Uint8Array, form: '' | '-gz' = ''): string => `"${Buffer.from(sha256).toString('base64url').slice(0, 27)}${form}"`;

export function cacheHeaders(freshness: Freshness, now: Date): Record<string, string> {
  return {
    etag: freshness.etag,
    ...(freshness.lastModified === undefined ? {} : { 'last-modified': freshness.lastModified.toUTCString() }),
    'cache-control': freshness.maxAge > 0 ? `public, max-age=${freshness.maxAge}, must-revalidate, no-transform` : 'no-cache, no-transform',
    expires: new Date(now.getTime() + freshness.maxAge * 1000).toUTCString(),
  };
}

/** True where the client holds this very object: If-None-Match decides where it is sent, else If-Modified-Since. */
export function isUnchanged(
  headers: { readonly 'if-none-match'?: string | undefined; readonly 'if-modified-since'?: string | undefined }, freshness: Freshness,
): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) {
    return tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === freshness.etag);
  }
  const since = Date.parse(headers['if-modified-since'] ?? '');
  if (Number.isNaN(since) || freshness.lastModified === undefined) return false;
  return Math.floor(freshness.lastModified.getTime() / 1000) * 1000 <= since;
}
