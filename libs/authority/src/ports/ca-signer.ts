import type { CertificationAuthority } from './authorities.ts';

/**
 * Whose signature it is, for the HSM's load control: `line` for production, `renewal` for ECUs in the field, `ocsp` for
 * OCSP signer certificates, `crl`, and `administration` for all else.
 */
export const signingPurposes = ['line', 'renewal', 'ocsp', 'crl', 'administration'] as const;

export type SigningPurpose = (typeof signingPurposes)[number];

/** What signs with the keys of the CAs: the HSM, in a process of its own. */
export interface CaSigner {
  /**
   * Resolves while the HSM can sign for the CA; where it could not of late, it waits for a bounded time and tries to reach
   * it anew. Asked before an intent is recorded: while the HSM is away nothing is recorded that would have to be burned.
   * @throws PkiError `hsm.*`; `ca.key-unusable` where the HSM works, but not with this CA's key; `ca.not-active` for a CA
   *   without a key here, or in a state that signs nothing
   */
  ready(authority: CertificationAuthority): Promise<void>;
  /**
   * One signature for each TBS, in order, in its X.509 form (ECDSA as DER), by the CA's key and with `signatureAlgorithmOf`
   * it. All or nothing: where it throws, `data.attempted` says for how many of the TBS, counted from the first, a
   * signature may exist; without it, it may for each.
   * @throws PkiError as `ready`; those of retry `later` may pass
   */
  sign(authority: CertificationAuthority, tbs: readonly Uint8Array[], purpose: SigningPurpose): Promise<readonly Uint8Array[]>;
}
