import { createHash, X509Certificate } from 'node:crypto';
import { type ErrorCode, PkiError } from '@fleetroot/core';

/** SHA-256 of the SubjectPublicKeyInfo of a certificate. @throws PkiError `code` where it is not one */
export function certificateSpkiSha256(certificate: Uint8Array, code: ErrorCode): Buffer {
  try {
    const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
    return createHash('sha256').update(spki).digest();
  } catch (cause) {
    throw new PkiError(code, undefined, { cause });
  }
}
