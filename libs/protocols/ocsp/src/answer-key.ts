import type { CertificateStatus } from '@fleetroot/authority';
import { hash } from 'node:crypto';

/**
 * SHA-256 of all that an answer depends on: the CertID as it is asked for, the responder's certificate, and the status. One
 * that was signed for another status is not found by it, whoever kept it and however late.
 */
export function answerKey(certId: Uint8Array, signerCertificate: Uint8Array, status: CertificateStatus): Uint8Array {
  const said = status.status === 'revoked' ? `revoked ${status.revokedAt.getTime()} ${status.reason}` : status.status;
  return hash('sha256', Buffer.concat([hash('sha256', signerCertificate, 'buffer'), Buffer.from(`${said}\n`), certId]), 'buffer');
}
