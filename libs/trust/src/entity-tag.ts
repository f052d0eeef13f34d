import { hash } from 'node:crypto';

/** A strong entity tag, quotes included: the SHA-256 of the octets, so that it changes exactly when they do. */
export const entityTag = (content: string | Uint8Array): string => `"${hash('sha256', content, 'base64url')}"`;

/**
 * Whether an If-None-Match header names this tag: then the answer is 304. The comparison is the weak one: `W/` in front
 * does not matter.
 */
export const matchesEntityTag = (ifNoneMatch: string | undefined, tag: string): boolean =>
  ifNoneMatch !== undefined
  && (ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some((item) => item.trim().replace(/^W\//, '') === tag));
