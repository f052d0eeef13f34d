import { type Clock, equalBytes, PkiError } from '@fleetroot/core';
import { type CertificationAuthority, isTrusted, type StatusLedger } from '@fleetroot/authority';
import type { OcspSigner } from '@fleetroot/ocsp';
import { parseCertificate, type ParsedCertificate, signatureAlgorithmFor } from '@fleetroot/x509';
import { Memo } from './memo.ts';
import { isAskedFor } from './published.ts';
import type { SignerKey } from './signer-key.ts';

export interface OcspSignersParts {
  readonly ledger: Pick<StatusLedger, 'authorities' | 'ocspSigners'>;
  readonly key: Pick<SignerKey, 'keyId' | 'spkiDer'> & { readonly signer: Pick<SignerKey['signer'], 'sign'> };
  readonly clock: Clock;
  /** Part of its lifetime after which a certificate is to be replaced, in percent. */
  readonly refreshPercent: number;
}

/** How long what the ledger said of our certificates is taken for true, in milliseconds. */
const LOOK_AGAIN_MS = 1000;

/** The delegated certificates of our one key, one for each CA (RFC 6960 section 4.2.2.2). */
export class OcspSigners {
  readonly #parts: OcspSignersParts;
  readonly #certificates: Memo<number, ParsedCertificate | undefined>;
  /** The same object for as long as the certificate is the same: what is read from it is remembered by it. */
  readonly #signers = new Map<number, OcspSigner>();

  constructor(parts: OcspSignersParts) {
    this.#parts = parts;
    this.#certificates = new Memo((caId) => this.#find(caId), LOOK_AGAIN_MS, parts.clock);
  }

  /**
   * undefined before the first certificate of the CA, and where none is valid any more. That of a CA that is revoked or
   * retired serves on until it ends.
   */
  async signerFor(caId: number): Promise<OcspSigner | undefined> {
    const certificate = await this.#certificates.get(caId);
    if (certificate === undefined) return undefined;
    const known = this.#signers.get(caId);
    if (known !== undefined && equalBytes(known.certificate, certificate.der)) return known;
    const { key } = this.#parts;
    const algorithm = signatureAlgorithmFor(certificate.spkiDer);
    const signer: OcspSigner = {
      certificate: certificate.der,
      sign: (responseData) => key.signer.sign(key.keyId, algorithm, responseData),
    };
    this.#signers.set(caId, signer);
    return signer;
  }

  /**
   * CAs whose certificate for our key is missing or due for replacement. Those whose key is not online are among them: a
   * ceremony may certify it. Those that are revoked, or below one that is, get none any more.
   */
  async due(): Promise<readonly CertificationAuthority[]> {
    const all = await this.#parts.ledger.authorities();
    const due: CertificationAuthority[] = [];
    for (const authority of all.filter((ca) => isTrusted(ca, all))) {
      if (isDue(await this.#certificates.get(authority.id), this.#parts.clock.now(), this.#parts.refreshPercent)) due.push(authority);
    }
    return due;
  }

  /** @throws PkiError `certificate.not-found` that names the CAs online for which no OCSP request can be answered */
  async check(): Promise<void> {
    const without: string[] = [];
    const all = await this.#parts.ledger.authorities();
    for (const authority of all.filter((ca) => isAskedFor(ca, all))) {
      if ((await this.#certificates.get(authority.id)) === undefined) without.push(authority.name);
    }
    if (without.length > 0) {
      throw new PkiError('certificate.not-found', `no OCSP signer certificate yet of ${without.join(', ')}: the worker asks for it, the issuer issues it`);
    }
  }

  async #find(caId: number): Promise<ParsedCertificate | undefined> {
    const newestFirst = await this.#parts.ledger.ocspSigners(caId, this.#parts.clock.now());
    return newestFirst.map(parseCertificate).find((certificate) => equalBytes(certificate.spkiDer, this.#parts.key.spkiDer));
  }
}

export function isDue(
  certificate: Pick<ParsedCertificate, 'notBefore' | 'notAfter'> | undefined, now: Date, refreshPercent: number,
): boolean {
  if (certificate === undefined) return true;
  const lifetime = certificate.notAfter.getTime() - certificate.notBefore.getTime();
  return now.getTime() >= certificate.notBefore.getTime() + (lifetime * refreshPercent) / 100;
}
