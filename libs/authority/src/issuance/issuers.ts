import { hash } from 'node:crypto';
import { equalBytes, PkiError, toHex } from '@fleetroot/core';
import {
  compileLint, type FixedKeyVerifier, fixedKeyVerifier, importPublicKey, type LintContext, type LintFinding,
  parseCertificate, type SignatureAlgorithm,
} from '@fleetroot/x509';
import { chainConstraints, type ChainConstraints, chainFault } from '../hierarchy/chain.ts';
import { ancestry, isTrusted, issuingGeneration } from '../hierarchy/lineage.ts';
import { RecentAuthorities } from '../hierarchy/recent.ts';
import { signatureAlgorithmOf, signsStatus } from '../hierarchy/state.ts';
import type { AuthorityLedger, CertificationAuthority, ProfileLedger } from '../ports/authorities.ts';
import { compileProfile, type CompiledProfile } from '../profile/compile.ts';
import { profileFromDocument } from '../profile/document.ts';
import type { Profile } from '../profile/profile.ts';

/** A CA and a profile version, made ready for a run of signatures. */
export interface Issuer {
  /** As the ledger had it at `asOf`. */
  readonly authority: CertificationAuthority;
  /** Of `performance.now`: when the CAs were read. */
  readonly asOf: number;
  readonly compiled: CompiledProfile;
  readonly algorithm: SignatureAlgorithm;
  /** Of the public key of the CA's certificate; all profiles of the CA share it. */
  readonly verifier: FixedKeyVerifier;
  /** Against what its certificates are linted. */
  readonly lintContext: LintContext;
  /** The lint of this profile's certificates, compiled. */
  readonly lint: (tbsDer: Uint8Array) => readonly LintFinding[];
  /** Over how many CRLs its certificates are spread. */
  readonly crlShards: number;
  /** What the CA and those above it do not let it certify; undefined: they leave it free. */
  readonly constraints: ChainConstraints | undefined;
}

interface Ready {
  /** SHA-256 of the certificates of the CA and of those above it. */
  readonly line: string;
  readonly spkiDer: Uint8Array;
  readonly issuer: Omit<Issuer, 'verifier' | 'asOf'>;
}

/** CAs whose tables are kept, some 2.5 MB each: those that issued last. Others have theirs made anew, in a tenth of a second. */
const TABLES_KEPT = 16;

/**
 * Issuers by (CA, profile version), kept as long as the certificates of the CA and of those above it are the same: a CA
 * that was renewed is made ready anew.
 */
export class Issuers {
  readonly #authorities: RecentAuthorities;
  readonly #profiles: ProfileLedger;
  readonly #versions = new Map<number, Profile>();
  readonly #ready = new Map<string, Ready>();
  /** By CA, those asked for last at the end. */
  readonly #verifiers = new Map<number, { readonly spkiDer: Uint8Array; readonly algorithm: SignatureAlgorithm; readonly verifier: FixedKeyVerifier }>();

  constructor(authorities: Pick<AuthorityLedger, 'all'>, profiles: ProfileLedger) {
    this.#authorities = new RecentAuthorities(authorities);
    this.#profiles = profiles;
  }

  /**
   * Who issues now for the CA that a batch was accepted for: the CA, or the generation that has followed it. An OCSP signer
   * is certified by the very CA it answers for (I19; RFC 6960 section 4.2.2.2), also before that one issues and after.
   * @throws PkiError `ca.not-found`, `profile.not-found`: nothing is signed by guess; `ca.not-active` where nobody issues
   *   for the CA, or where the line above who would does not allow it
   * @param known `now`: the CAs' states and successors are read anew; `recently`: they may be half a second old
   */
  async of(caId: number, profileVersionId: number, known: 'now' | 'recently'): Promise<Issuer> {
    const { at: asOf, all: reading } = this.#authorities.read(known);
    const all = await reading;
    const wanted = all.find(({ id }) => id === caId);
    if (wanted === undefined) throw new PkiError('ca.not-found', `there is no CA ${caId} in the ledger`);
    const profile = await this.#profile(profileVersionId);
    const authority = profile.kind === 'ocsp-signer' ? wanted : issuingGeneration(wanted, all);
    if (authority === undefined || !signsStatus(authority)) {
      throw new PkiError('ca.not-active', `the CA ${wanted.name} is ${wanted.state}, and no generation after it issues`);
    }
    requireTrusted(authority, all);

    const key = `${authority.id}/${profileVersionId}`;
    const line = ancestry(authority, all).map(({ certificate }) => toHex(hash('sha256', certificate, 'buffer'))).join();
    const before = this.#ready.get(key);
    const ready = before?.line === line ? before : { line, ...makeReady(authority, all, profile) };
    this.#ready.set(key, ready);
    return { ...ready.issuer, authority, asOf, verifier: this.#verifier(authority.id, ready.spkiDer, ready.issuer.algorithm) };
  }

  /** The tables of a key take time to make: they outlive a certificate that is renewed with its key. */
  #verifier(caId: number, spkiDer: Uint8Array, algorithm: SignatureAlgorithm): FixedKeyVerifier {
    const known = this.#verifiers.get(caId);
    const same = known?.algorithm === algorithm && equalBytes(known.spkiDer, spkiDer);
    const verifier = same ? known.verifier : fixedKeyVerifier(importPublicKey(spkiDer), algorithm);
    this.#verifiers.delete(caId);
    this.#verifiers.set(caId, { spkiDer, algorithm, verifier });
    const [oldest] = this.#verifiers.keys();
    if (this.#verifiers.size > TABLES_KEPT && oldest !== undefined) this.#verifiers.delete(oldest);
    return verifier;
  }

  /** A version never changes. */
  async #profile(versionId: number): Promise<Profile> {
    const known = this.#versions.get(versionId);
    if (known !== undefined) return known;
    const profile = profileFromDocument((await this.#profiles.byId(versionId)).document);
    this.#versions.set(versionId, profile);
    return profile;
  }
}

/** Nobody would trust what such a CA issues. @throws PkiError `ca.not-active` */
function requireTrusted(authority: CertificationAuthority, all: readonly CertificationAuthority[]): void {
  if (isTrusted(authority, all)) return;
  const culprit = ancestry(authority, all).find((ca) => !isTrusted(ca, [ca])) ?? authority;
  throw new PkiError('ca.not-active', `the CA ${authority.name} does not issue: ${culprit.name} is ${culprit.revocation === undefined ? culprit.state : 'revoked'}`);
}

function makeReady(authority: CertificationAuthority, all: readonly CertificationAuthority[], profile: Profile): Omit<Ready, 'line'> {
  const certificate = parseCertificate(authority.certificate);
  const above = ancestry(authority, all);
  // Each of them is valid by then; whether the CA is valid now is asked of each chunk.
  const from = new Date(Math.max(...above.map(({ notBefore }) => notBefore.getTime())));
  const fault = chainFault(certificate, above[1], all, from);
  if (fault !== undefined) throw new PkiError('ca.not-active', `the CA ${authority.name} does not issue: ${fault}`);
  const algorithm = signatureAlgorithmOf(authority);
  const lintContext: LintContext = { issuer: certificate, kind: profile.kind, maxOctets: profile.sizeBudget };
  return {
    spkiDer: certificate.spkiDer,
    issuer: {
      authority,
      compiled: compileProfile(profile, { ...certificate, name: authority.name }, algorithm),
      algorithm,
      lintContext,
      crlShards: profile.crlShards ?? 1,
      lint: compileLint(lintContext),
      constraints: chainConstraints(authority, all),
    },
  };
}
