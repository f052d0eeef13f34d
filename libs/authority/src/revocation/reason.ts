import type { RevocationReason } from '../ports/status.ts';

/**
 * How much a reason says about the key, from 0. A hold is the weakest: it may be released, and any other reason makes
 * it final. A compromise is the strongest: who trusted a signature made before the revocation must learn of it.
 */
const strengths = {
  removeFromCRL: 0, certificateHold: 1, unspecified: 2, cessationOfOperation: 3, superseded: 3, affiliationChanged: 3,
  privilegeWithdrawn: 4, aACompromise: 5, cACompromise: 5, keyCompromise: 5,
} as const satisfies Record<RevocationReason, number>;

export const strengthOf = (reason: RevocationReason): number => strengths[reason];

/** The one to show: `asked` where it is stronger than `onRecord`, else `onRecord` (I12). */
export function strongerReason(onRecord: RevocationReason, asked: RevocationReason): RevocationReason {
  return strengthOf(asked) > strengthOf(onRecord) ? asked : onRecord;
}

/**
 * What revoking a certificate anew for `asked` does: `same` changes nothing, `upgrade` replaces the reason and keeps the
 * date, `conflict` is an error (`revocation.conflict`), for revoked never becomes less so.
 */
export function revokedAgain(onRecord: RevocationReason, asked: RevocationReason): 'same' | 'upgrade' | 'conflict' {
  if (asked === onRecord) return 'same';
  return strengthOf(asked) > strengthOf(onRecord) ? 'upgrade' : 'conflict';
}
