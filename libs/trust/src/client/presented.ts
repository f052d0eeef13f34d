import { copyBytes, isPkiError, serialFromBytes, sha256 } from '@fleetroot/core';
import { type BlockedKeys, type ParsedCertificate, parseCertificate, type PathFailure } from '@fleetroot/x509';
import type { AuthorityView, Surroundings } from './surroundings.ts';
import type { ClientReason } from './reason.ts';

/** More than any certificate of ours has; what is longer is not even parsed. */
export const MAX_CERTIFICATE_OCTETS = 16 * 1024;

/** What never changes of a certificate that a CA of ours has signed. */
export interface Presented {
  readonly caId: number;
  /** Content octets of the INTEGER. */
  readonly serial: Uint8Array;
  /** The same in hex. */
  readonly serialHex: string;
  /** Of the whole certificate, and of its SubjectPublicKeyInfo; SHA-256. */
  readonly sha256: Uint8Array;
  readonly keySha256: Uint8Array;
  /** Milliseconds; the last second belongs to the validity (I7). */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Refused {
  readonly reason: ClientReason;
  /** Where a CA of ours has signed it nevertheless. */
  readonly presented?: Presented;
}

/**
 * A certificate that a stranger sent: whether a CA of ours has signed it, as a TLS client's. Its time is not looked at, nor
 * the state of the CA: those change. Costs the verification of one signature.
 * @param digest SHA-256 of the DER
 */
export function present(der: Uint8Array, digest: Uint8Array, { authorities }: Pick<Surroundings, 'authorities'>, blockedKeys: BlockedKeys): Presented | Refused {
  const parsed = parsedOrNot(der);
  if (parsed === undefined) return { reason: 'certificate.malformed' };
  const issuer = issuerOf(parsed, authorities);
  if (issuer === undefined) return { reason: 'issuer.unknown' };
  const failure = pathFailure(parsed, issuer);
  if (failure === 'signature') return { reason: 'certificate.signature-invalid' };
  const serialHex = serialOf(parsed);
  if (serialHex === undefined) return { reason: 'certificate.malformed' };
  const presented = {
    caId: issuer.id, serial: copyBytes(parsed.serial), serialHex, sha256: digest, keySha256: sha256(parsed.spkiDer),
    notBefore: parsed.notBefore.getTime(), notAfter: parsed.notAfter.getTime(),
  };
  // One without extended key usage would serve every purpose; those of ours say what they are for.
  if (failure === 'eku' || failure === 'ca-as-leaf' || parsed.extendedKeyUsage?.includes('clientAuth') !== true) {
    return { reason: 'certificate.not-for-clients', presented };
  }
  if (failure !== undefined) return { reason: 'certificate.path-invalid', presented };
  return blockedKeys.has(presented.keySha256) ? { reason: 'key.blocked', presented } : presented;
}

function parsedOrNot(der: Uint8Array): ParsedCertificate | undefined {
  if (der.length > MAX_CERTIFICATE_OCTETS) return undefined;
  try {
    return parseCertificate(der);
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

function serialOf({ serial }: ParsedCertificate): string | undefined {
  try {
    return serialFromBytes(serial);
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

/** Issuers of ours put their names and key identifiers into what they sign octet for octet. */
function issuerOf(parsed: ParsedCertificate, authorities: Surroundings['authorities']): AuthorityView | undefined {
  const named = authorities.bySubject.get(Buffer.from(parsed.issuerDer).toString('latin1')) ?? [];
  const wanted = parsed.authorityKeyIdentifier;
  return named.find(({ keyIdentifier }) => wanted === undefined || keyIdentifier === undefined || Buffer.compare(wanted, keyIdentifier) === 0);
}

/** Judged at a time at which both are valid, so that what is left is what does not change. */
function pathFailure(leaf: ParsedCertificate, issuer: AuthorityView): PathFailure | 'malformed' | undefined {
  const time = new Date(Math.max(leaf.notBefore.getTime(), issuer.notBefore));
  try {
    return issuer.leaves.failure(leaf, time, 'clientAuth');
  } catch (error) {
    if (!isPkiError(error)) throw error;
    return 'malformed';
  }
}
