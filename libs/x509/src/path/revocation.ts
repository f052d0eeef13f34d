import { equalBytes, isPkiError, PkiError, toHex } from '@fleetroot/core';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { type ParsedCrl, parseCrl } from '../crl/parse.ts';
import { verifySignature } from '../key/signature.ts';
import { comparableName, sameName } from './name-match.ts';
import type { PathFailure } from './rules.ts';

interface KnownCrl {
  readonly crl: ParsedCrl;
  readonly issuer: readonly string[];
}

/**
 * CRLs that certificates are looked up in (RFC 5280 section 6.3.3), each complete for all that its issuer issued:
 * `parseCrl` reads no others. A certificate whose status these CRLs do not tell is refused, never let through.
 */
export class Revocation {
  readonly #crls: readonly KnownCrl[];
  readonly #time: Date;
  /** A CRL is long and its signature costs: each is checked once against each key. */
  readonly #signed = new Map<string, boolean>();

  /**
   * @param crls DER
   * @throws PkiError `certificate.path-invalid` with `data.reason` `crl-invalid` where one is not of the profile
   */
  constructor(crls: readonly Uint8Array[], time: Date) {
    this.#time = time;
    this.#crls = crls.map((der, place) => {
      const crl = readCrl(der, place);
      return { crl, issuer: comparableName(crl.issuerDer) };
    });
  }

  /** @param issuer whose signature on the certificate was verified */
  check(certificate: ParsedCertificate, issuer: ParsedCertificate): PathFailure | undefined {
    const subject = comparableName(issuer.subjectDer);
    const offered = this.#crls.filter(({ crl, issuer: name }) => sameName(name, subject)
      && (issuer.subjectKeyIdentifier === undefined || equalBytes(crl.authorityKeyIdentifier, issuer.subjectKeyIdentifier)));
    if (offered.length === 0) return 'crl-missing';
    // "If a key usage extension is present in the CRL issuer's certificate, verify that the cRLSign bit is set" (section 6.3.3 (f)).
    if (issuer.keyUsage !== undefined && !issuer.keyUsage.includes('cRLSign')) return 'crl-key-usage';
    const genuine = offered.filter(({ crl }) => this.#isSigned(crl, issuer));
    if (genuine.length === 0) return 'crl-signature';
    const now = this.#time.getTime();
    const begun = genuine.filter(({ crl }) => crl.thisUpdate.getTime() <= now);
    if (begun.length === 0) return 'crl-not-yet-valid';
    // The newest alone: what was on hold before may have been released since.
    const [{ crl: newest }] = begun.sort((a, b) => (a.crl.number < b.crl.number ? 1 : -1)) as [KnownCrl];
    if (newest.entries.has(toHex(certificate.serial))) return 'revoked';
    return newest.nextUpdate.getTime() < now ? 'crl-expired' : undefined;
  }

  #isSigned(crl: ParsedCrl, { spkiDer }: ParsedCertificate): boolean {
    const place = this.#crls.findIndex((known) => known.crl === crl);
    const key = `${place} ${toHex(spkiDer)}`;
    const known = this.#signed.get(key);
    if (known !== undefined) return known;
    const signed = verifySignature(spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature);
    this.#signed.set(key, signed);
    return signed;
  }
}

function readCrl(der: Uint8Array, place: number): ParsedCrl {
  try {
    const crl = parseCrl(der);
    // Now, so that a serial that stands twice shows before anything is looked up.
    crl.entries.index();
    return crl;
  } catch (cause) {
    if (!isPkiError(cause)) throw cause;
    throw new PkiError('certificate.path-invalid', `the CRL in place ${place} cannot be used: ${cause.message}`, {
      cause, data: { reason: 'crl-invalid' satisfies PathFailure, depth: 0 },
    });
  }
}
