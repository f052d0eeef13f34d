import type { KeyObject } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import {
  compileLint, importPublicKey, type LintContext, type LintFinding, parseCertificate, signatureAlgorithmFor, type SignatureAlgorithm,
} from '@fleetroot/x509';
import type { AuthorityLedger, CertificationAuthority, ProfileLedger } from '../ports/authorities.ts';
import { compileProfile, type CompiledProfile } from '../profile/compile.ts';
import { profileFromDocument } from '../profile/document.ts';

/** A CA and a profile version, made ready for a run of signatures. */
export interface Issuer {
  readonly authority: CertificationAuthority;
  readonly compiled: CompiledProfile;
  readonly algorithm: SignatureAlgorithm;
  /** Of the CA's certificate; imported once. */
  readonly publicKey: KeyObject;
  /** Against what its certificates are linted. */
  readonly lintContext: LintContext;
  /** The lint of this profile's certificates, compiled. */
  readonly lint: (tbsDer: Uint8Array) => readonly LintFinding[];
}

/**
 * Issuers by (CA, profile version). Both are immutable in the ledger but for the CA's state, which is therefore never
 * read from here: the ledger itself refuses an intent of a CA that is not active (I10).
 */
export class Issuers {
  readonly #authorities: AuthorityLedger;
  readonly #profiles: ProfileLedger;
  readonly #ready = new Map<string, Issuer>();

  constructor(authorities: AuthorityLedger, profiles: ProfileLedger) {
    this.#authorities = authorities;
    this.#profiles = profiles;
  }

  /** @throws PkiError `ca.not-found`, `profile.not-found`: nothing is signed by guess */
  async of(caId: number, profileVersionId: number): Promise<Issuer> {
    const key = `${caId}/${profileVersionId}`;
    const known = this.#ready.get(key);
    if (known !== undefined) return known;
    const authority = (await this.#authorities.all()).find(({ id }) => id === caId);
    if (authority === undefined) throw new PkiError('ca.not-found', `there is no CA ${caId} in the ledger`);
    const { document } = await this.#profiles.byId(profileVersionId);
    const certificate = parseCertificate(authority.certificate);
    const profile = profileFromDocument(document);
    const lintContext: LintContext = { issuer: certificate, kind: profile.kind, maxOctets: profile.sizeBudget };
    const issuer: Issuer = {
      authority,
      compiled: compileProfile(profile, { ...certificate, name: authority.name }),
      algorithm: signatureAlgorithmFor(certificate.spkiDer),
      publicKey: importPublicKey(certificate.spkiDer),
      lintContext,
      lint: compileLint(lintContext),
    };
    this.#ready.set(key, issuer);
    return issuer;
  }
}
