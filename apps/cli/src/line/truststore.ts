import { type KeyObject, X509Certificate } from 'node:crypto';

/** A CA of the truststore, with its key read once. */
interface Anchor {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

/** The truststore that a gateway pulled, as node:crypto sees it. */
export class Truststore {
  readonly pem: string;
  readonly #anchors: readonly Anchor[];

  constructor(pem: string) {
    this.pem = pem;
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    this.#anchors = blocks.map((block) => {
      const certificate = new X509Certificate(block);
      return { certificate, key: certificate.publicKey };
    });
  }

  get size(): number {
    return this.#anchors.length;
  }

  /** The CA that signed the certificate. @throws Error where none of the truststore's did */
  issuerOf(certificate: X509Certificate): X509Certificate {
    const issuer = this.#anchors.find((anchor) => certificate.checkIssued(anchor.certificate));
    if (issuer === undefined || !certificate.verify(issuer.key)) throw new Error('a certificate was not signed by a CA of the truststore');
    return issuer.certificate;
  }

  /** @throws Error where a CA of it is neither a root nor signed by another of it */
  checkChains(): void {
    for (const { certificate } of this.#anchors) this.issuerOf(certificate);
  }
}
