import { equalBytes, PkiError, toHex } from '@fleetroot/core';
import {
  issuingLimits, type ParsedCertificate, type ParsedCrl, parseCertificate, parseCrl, type PathFailure, sameSubject,
  type SignatureAlgorithm, signatureAlgorithmFor,
} from '@fleetroot/x509';
import type { CeremonyFolder } from './folder.ts';
import type { CeremonyRecord, CrlRecord, HeldRecord } from './record.ts';

/** A CA as a ceremony sees it: on record, or as it will be. */
export interface KnownAuthority {
  readonly name: string;
  readonly parent: string | undefined;
  /** Of several for its key the one that ends last; one that is to be made lacks its signature. */
  readonly certificate: ParsedCertificate;
  /** CKA_ID, hex; undefined: its key is not here. */
  readonly keyId: string | undefined;
  /** What it signs with. */
  readonly algorithm: SignatureAlgorithm;
}

/** The CAs that a ceremony stands on. Reads every certificate and the last CRL of each CA; none may be damaged. */
export class Hierarchy {
  readonly #byName = new Map<string, KnownAuthority>();
  readonly #crls = new Map<string, { readonly record: CrlRecord; readonly crl: ParsedCrl }>();
  /** By issuer, then serial (hex): when a certificate on record ends. */
  readonly #ends = new Map<string, Map<string, Date>>();
  readonly #files = new Set<string>();

  /** @throws PkiError `ceremony.invalid` where a file is missing or not the one on record */
  constructor(folder: CeremonyFolder, record: CeremonyRecord) {
    for (const held of record.authorities) {
      const file = `${held.name}.cer`;
      const certificate = parseCertificate(folder.recorded({ file, sha256: held.sha256 }));
      this.#files.add(file);
      this.add(known(held, certificate));
    }
    for (const { file, kind, subject, issuer, sha256 } of record.certificates) {
      const certificate = parseCertificate(folder.recorded({ file, sha256 }));
      this.#files.add(file);
      if (issuer !== null) this.#note(issuer, certificate);
      const ca = subject === null || kind !== 'ca' ? undefined : this.#byName.get(subject);
      if (ca !== undefined && certificate.notAfter > ca.certificate.notAfter) this.#byName.set(ca.name, { ...ca, certificate });
    }
    for (const crl of record.crls) {
      const before = this.#crls.get(crl.authority);
      if (before === undefined || BigInt(crl.number) > before.crl.number) this.#crls.set(crl.authority, { record: crl, crl: parseCrl(folder.recorded(crl)) });
    }
    for (const { file } of [...record.requests, ...record.crls]) this.#files.add(file);
  }

  get(name: string): KnownAuthority | undefined {
    return this.#byName.get(name);
  }

  all(): readonly KnownAuthority[] {
    return [...this.#byName.values()];
  }

  add(ca: KnownAuthority): void {
    this.#byName.set(ca.name, ca);
    this.#note(ca.parent ?? ca.name, ca.certificate);
  }

  /** The CA whose key this is. */
  holderOf(spkiDer: Uint8Array): KnownAuthority | undefined {
    return this.all().find(({ certificate }) => equalBytes(certificate.spkiDer, spkiDer));
  }

  /** The CA and those above it, the root last. */
  line(ca: KnownAuthority): readonly KnownAuthority[] {
    const line = [ca];
    for (let at = ca; at.parent !== undefined;) {
      const above = this.#byName.get(at.parent);
      if (above === undefined || line.includes(above)) break;
      line.push(above);
      at = above;
    }
    return line;
  }

  /**
   * How many CAs that are not self-issued may follow below, by the CA and all above it (RFC 5280 section 4.2.1.9);
   * Infinity: as many as one likes; less than 0: the line itself is too long.
   */
  pathLengthBelow(ca: KnownAuthority): number {
    return this.line(ca).reduceRight((allowed, { certificate }, place, line) => {
      const counts = place < line.length - 1 && !sameSubject(certificate.subjectDer, certificate.issuerDer);
      return Math.min(allowed - (counts ? 1 : 0), certificate.pathLength ?? Infinity);
    }, Infinity);
  }

  /** Why those above would have relying parties refuse what is to be signed; undefined: they would not. */
  refusal(issuer: KnownAuthority, tbs: Uint8Array, subjectDer: Uint8Array): PathFailure | undefined {
    // "Name constraints are not applied to self-issued certificates (unless the certificate is the final certificate in
    // the path)" (RFC 5280 section 4.2.1.10).
    if (sameSubject(subjectDer, issuer.certificate.subjectDer)) return undefined;
    return issuingLimits(this.line(issuer).map(({ certificate }) => certificate.der))?.refusal(tbs);
  }

  /** The newest on record. */
  crlOf(name: string): { readonly record: CrlRecord; readonly crl: ParsedCrl } | undefined {
    return this.#crls.get(name);
  }

  /** When a certificate that the CA has signed ends; undefined: it is not on record. */
  endOf(issuer: string, serialHex: string): Date | undefined {
    return this.#ends.get(issuer)?.get(serialHex);
  }

  /** The first of `STEM.cer`, `STEM.2.cer` and so on that is not taken; it is taken then. */
  fileFor(stem: string, extension: string, first = 1): string {
    for (let n = first; ; n++) {
      const file = `${stem}${n === 1 ? '' : `.${n}`}.${extension}`;
      if (this.take(file)) return file;
    }
  }

  /** False: the file has another owner. */
  take(file: string): boolean {
    if (this.#files.has(file)) return false;
    this.#files.add(file);
    return true;
  }

  #note(issuer: string, { serial, notAfter }: ParsedCertificate): void {
    const ends = this.#ends.get(issuer) ?? new Map<string, Date>();
    this.#ends.set(issuer, ends.set(toHex(serial), notAfter));
  }
}

function known({ name, parent, keyId, signatureAlgorithm }: HeldRecord, certificate: ParsedCertificate): KnownAuthority {
  return {
    name, parent: parent ?? undefined, certificate, keyId: keyId ?? undefined,
    algorithm: signatureAlgorithm ?? defaultAlgorithm(name, certificate),
  };
}

function defaultAlgorithm(name: string, { spkiDer }: ParsedCertificate): SignatureAlgorithm {
  try {
    return signatureAlgorithmFor(spkiDer);
  } catch (cause) {
    throw new PkiError('ceremony.invalid', `the key of the CA ${name} is of a kind that signs nothing here`, { cause });
  }
}
