import { createHash, X509Certificate } from 'node:crypto';
import { type ErrorCode, PkiError, serialFromHex, serialToBytes } from '@fleetroot/core';

/** What the ledger looks up a CA's certificate by. */
export interface CaCertificateFacts {
  readonly sha256: Buffer;
  readonly spkiSha256: Buffer;
  /** DER content octets. */
  readonly serial: Uint8Array;
  readonly selfSigned: boolean;
}

/** @throws PkiError `code` where it is no certificate */
export function caCertificateFacts(certificate: Uint8Array, code: ErrorCode): CaCertificateFacts {
  try {
    const read = new X509Certificate(certificate);
    return {
      sha256: createHash('sha256').update(certificate).digest(),
      spkiSha256: createHash('sha256').update(read.publicKey.export({ type: 'spki', format: 'der' })).digest(),
      serial: serialToBytes(serialFromHex(read.serialNumber)),
      selfSigned: read.checkIssued(read) && read.verify(read.publicKey),
    };
  } catch (cause) {
    throw new PkiError(code, undefined, { cause });
  }
}
