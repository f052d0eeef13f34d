import { type CaRevocation, type CertificateStatus, type RevocationReason, revocationReasons, strongerReason } from '@fleetroot/authority';

/**
 * What a certificate of a revoked CA is, whether it is on record or not: revoked since the CA is, for its reason. One that
 * was revoked by itself keeps its date where that is the earlier one, and its reason where that is no weaker (I12): a hold
 * is final with its CA.
 */
export function underRevokedCa(own: CertificateStatus | undefined, ca: CaRevocation): CertificateStatus {
  if (own?.status !== 'revoked') return { status: 'revoked', revokedAt: ca.revokedAt, reason: ca.reason };
  return {
    status: 'revoked', revokedAt: own.revokedAt < ca.revokedAt ? own.revokedAt : ca.revokedAt,
    reason: revocationReasons[strongerReason(reasonOf(own.reason), reasonOf(ca.reason))],
  };
}

const names = new Map(Object.entries(revocationReasons).map(([name, code]) => [code as number, name as RevocationReason]));
const reasonOf = (code: number): RevocationReason => names.get(code) ?? 'unspecified';
