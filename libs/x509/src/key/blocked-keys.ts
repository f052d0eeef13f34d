import { PkiError } from '@fleetroot/core';

/** Keys known to be compromised, by the SHA-256 of their SubjectPublicKeyInfo. Immutable. */
export interface BlockedKeys {
  /** Different keys in it. */
  readonly count: number;
  /** Takes a microsecond, with a million keys too. */
  has(spkiSha256: Uint8Array): boolean;
}

const OCTETS = 32;

/**
 * The keys of a blocklist: text, a key a line, each the SHA-256 of its SubjectPublicKeyInfo (DER) in 64 hexadecimal
 * digits. Order does not matter; empty lines and lines that begin with `#` say nothing. undefined: an empty list. Takes
 * 32 octets of memory a key.
 * @throws PkiError `config.invalid` with the number of the first line that is neither
 */
export function readBlockedKeys(file: Uint8Array | undefined): BlockedKeys {
  if (file === undefined) return sortedKeys([]);
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString('latin1');
  const digests: string[] = [];
  text.split('\n').forEach((raw, i) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    if (!/^[0-9a-fA-F]{64}$/.test(line)) {
      throw new PkiError('config.invalid', `line ${i + 1} of the key blocklist is not a SHA-256 in 64 hexadecimal digits`);
    }
    digests.push(line.toLowerCase());
  });
  return sortedKeys([...new Set(digests)].toSorted());
}

/** Hexadecimal digits sort as the octets that they stand for. */
function sortedKeys(digests: readonly string[]): BlockedKeys {
  const sorted = Buffer.from(digests.join(''), 'hex');
  const count = digests.length;
  return {
    count,
    has(spkiSha256) {
      let low = 0;
      let high = count;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const order = sorted.compare(spkiSha256, 0, spkiSha256.length, middle * OCTETS, (middle + 1) * OCTETS);
        if (order === 0) return true;
        if (order < 0) low = middle + 1;
        else high = middle;
      }
      return false;
    },
  };
}

/** @throws PkiError `key.blocked`: nobody gets a certificate for a key whose private part is known */
export function refuseBlockedKey(spkiSha256: Uint8Array, blocked: BlockedKeys): void {
  if (blocked.has(spkiSha256)) {
    throw new PkiError('key.blocked', 'the public key is on the list of compromised keys: make a new one');
  }
}
