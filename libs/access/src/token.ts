import { createHash } from 'node:crypto';
import type { RandomBytes } from '@fleetroot/core';

/** `frt_` and 43 characters of base64url: 256 random bits. The prefix lets scanners find a leaked one. */
const FORM = /^frt_[A-Za-z0-9_-]{43}$/;

export function newToken(random: RandomBytes): string {
  return `frt_${Buffer.from(random(32)).toString('base64url')}`;
}

/**
 * What the ledger keeps of a token. A plain hash is enough: 256 random bits cannot be guessed, so there is nothing for
 * a slow hash to slow down.
 */
export function tokenSha256(token: string): Uint8Array | undefined {
  return FORM.test(token) ? new Uint8Array(createHash('sha256').update(token).digest()) : undefined;
}
