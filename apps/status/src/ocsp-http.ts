import type { OcspReply, SignedAnswer } from '@fleetroot/ocsp';
import { ageUntil, etagOf } from './caching.ts';

export const OCSP_RESPONSE = 'application/ocsp-response';

const NO_STORE = ['cache-control', 'no-store'];

interface Lasting {
  readonly etag: string;
  readonly lastModified: string;
}

/** What never changes of an answer's headers; it is forgotten with the answer. */
const known = new WeakMap<SignedAnswer, Lasting>();

/**
 * Headers of an answer, names and values in turn: a cache may keep what everybody gets by a GET, some minutes and never beyond
 * its nextUpdate, and nothing else.
 */
export function ocspHeaders({ shared }: OcspReply, method: 'GET' | 'POST', now: number): readonly string[] {
  const age = shared === undefined || method === 'POST' ? 0 : ageUntil(shared.nextUpdate, now);
  if (shared === undefined || age === 0) return NO_STORE;
  const { etag, lastModified } = lastingOf(shared);
  const expires = new Date(now + age * 1000).toUTCString();
  return ['etag', etag, 'last-modified', lastModified, 'expires', expires, 'cache-control', `public, max-age=${age}, must-revalidate, no-transform`];
}

/** True where the client holds this very answer: If-None-Match decides where it is sent, else If-Modified-Since. */
export function holdsAlready(headers: { 'if-none-match'?: string | undefined; 'if-modified-since'?: string | undefined }, { shared }: OcspReply): boolean {
  if (shared === undefined) return false;
  const tags = headers['if-none-match'];
  if (tags !== undefined) return tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === lastingOf(shared).etag);
  const since = headers['if-modified-since'];
  return since !== undefined && shared.thisUpdate <= Date.parse(since);
}

function lastingOf(answer: SignedAnswer): Lasting {
  let found = known.get(answer);
  if (found === undefined) {
    found = { etag: etagOf(answer.der), lastModified: new Date(answer.thisUpdate).toUTCString() };
    known.set(answer, found);
  }
  return found;
}
