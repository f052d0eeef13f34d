import type { CertificationAuthority } from './authorities.ts';

/** What signs with the keys of the CAs: the HSM, in a thread of its own. */
export interface CaSigner {
  /**
   * Resolves at once while the HSM answers; where it did not of late, tries to reach it anew. Asked before an intent is
   * recorded: while the HSM is away nothing is recorded that would have to be burned.
   * @throws PkiError `hsm.*`
   */
  ready(authority: CertificationAuthority): Promise<void>;
  /**
   * One signature for each TBS, in order, in its X.509 form (ECDSA as DER), by the CA's key and with the algorithm that
   * `signatureAlgorithmFor` names for it. All or nothing: where it throws, any number of signatures may have been made.
   * @throws PkiError `hsm.*`; those of retry `later` may pass
   */
  sign(authority: CertificationAuthority, tbs: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
}
