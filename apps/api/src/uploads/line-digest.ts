import { createHash } from 'node:crypto';

/**
 * The digest of an upload with one more line: SHA-256(digest || SHA-256(line)). It begins with 32 zero octets. `line` is
 * without its line end, so that the digest is the same however its sender ends lines.
 */
export function digestWith(digest: Uint8Array, line: Uint8Array): Uint8Array {
  return createHash('sha256').update(digest).update(createHash('sha256').update(line).digest()).digest();
}
