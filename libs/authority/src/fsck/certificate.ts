import type { KeyObject } from 'node:crypto';
import { equalBytes, isPkiError, toHex } from '@fleetroot/core';
import { importPublicKey, lintCertificate, type ParsedCertificate, parseCertificate, spkiSha256, verifyWithKey } from '@fleetroot/x509';
import type { InspectedAuthority, InspectedCertificate } from '../ports/inspection.ts';
import type { ProfileVersionRecord } from '../ports/authorities.ts';
import { profileFromDocument } from '../profile/document.ts';
import { leafExtensions } from '../profile/extensions.ts';
import type { Profile } from '../profile/profile.ts';
import type { Findings } from './report.ts';
import type { SignatureAccount } from './signatures.ts';

/** A CA as certificates are held against it. */
interface Issuer {
  readonly name: string;
  readonly certificate: ParsedCertificate;
  readonly key: KeyObject;
}

/** A profile version: what it says, and whether its certificates hold the serial of their ECU. */
interface Version {
  readonly profile: Profile;
  readonly namesEcu: boolean;
}

/** The life of an OCSP signer that nobody can revoke, at most, in milliseconds (RFC 6960 section 4.2.2.2.1). */
const SIGNER_LIFE_MS = 31 * 86_400_000;
/** An issuer's clock and the database's; see chunk.ts. */
const CLOCKS_MS = 10_000;

export interface CertificateSurroundings {
  readonly authorities: readonly InspectedAuthority[];
  readonly profiles: readonly ProfileVersionRecord[];
  readonly findings: Findings;
  readonly account: SignatureAccount | undefined;
  /** Whether this one is looked at in full: its signature, lint and extensions. */
  readonly inFull: (certificate: InspectedCertificate) => boolean;
}

/** Holds certificates against their rows, their CA and their profile. What is read of CA and profile is kept. */
export class CertificateInspector {
  readonly #around: CertificateSurroundings;
  readonly #issuers: ReadonlyMap<number, Issuer>;
  readonly #versions: ReadonlyMap<number, Version | undefined>;
  readonly #extensions = new Map<string, ReadonlySet<string>>();

  constructor(around: CertificateSurroundings) {
    this.#around = around;
    this.#issuers = new Map(around.authorities.flatMap(({ id, name, certificate }): [number, Issuer][] => {
      const parsed = attempt(() => parseCertificate(certificate));
      return parsed === undefined ? [] : [[id, { name, certificate: parsed, key: importPublicKey(parsed.spkiDer) }]];
    }));
    this.#versions = new Map(around.profiles.map(({ id, document }) => [id, attempt(() => versionOf(document))]));
  }

  inspect(row: InspectedCertificate): void {
    const { findings, account } = this.#around;
    const subject = (): string => `serial ${toHex(row.serial)}`;
    findings.count('certificates');
    const issuer = this.#issuers.get(row.caId);
    if (issuer === undefined) return findings.breach('certificate-row', subject(), `its CA ${row.caId} is not on record`);
    const version = this.#versions.get(row.profileVersionId);
    try {
      const certificate = parseCertificate(row.der);
      compareRow(row, certificate, issuer, version, (what) => findings.breach('certificate-row', subject(), what));
      compareTimes(row, certificate, issuer, (what) => findings.breach('certificate-validity', subject(), what));
      if (certificate.isCa) findings.breach('certificate-leaf', subject(), 'is the certificate of a CA');
      this.#signer(certificate, version, subject);
      account?.known(subject, certificate.tbsDer);
      if (this.#around.inFull(row)) this.#inFull(row, certificate, issuer, version, subject);
    } catch (error) {
      if (!isPkiError(error)) throw error;
      findings.breach('certificate-row', subject(), `cannot be read: ${error.message}`);
    }
  }

  #signer({ extendedKeyUsage, extensions, notBefore, notAfter }: ParsedCertificate, version: Version | undefined, subject: () => string): void {
    const signs = extendedKeyUsage?.includes('OCSPSigning') === true;
    const meant = version?.profile.kind === 'ocsp-signer';
    if (version !== undefined && signs !== meant) this.#around.findings.breach('ocsp-signer', subject(), signs ? 'has OCSPSigning, and its profile is not that of an OCSP signer' : 'lacks OCSPSigning, which its profile is for');
    if (!signs) return;
    // RFC 6960 section 4.2.2.2.1: id-pkix-ocsp-nocheck.
    if (!extensions.some(({ oid }) => oid === '1.3.6.1.5.5.7.48.1.5')) this.#around.findings.breach('ocsp-signer', subject(), 'has OCSPSigning without ocsp-nocheck');
    if (notAfter.getTime() - notBefore.getTime() > SIGNER_LIFE_MS) this.#around.findings.breach('ocsp-signer', subject(), 'has OCSPSigning for longer than a month');
  }

  #inFull(row: InspectedCertificate, certificate: ParsedCertificate, issuer: Issuer, version: Version | undefined, subject: () => string): void {
    const { findings } = this.#around;
    findings.count('certificatesInFull');
    if (!verifyWithKey(issuer.key, certificate.signatureAlgorithm, certificate.tbsDer, certificate.signature)) {
      findings.breach('certificate-signature', subject(), `its signature does not verify under ${issuer.name}`);
    }
    if (version === undefined) return findings.breach('certificate-profile', subject(), `its profile version ${row.profileVersionId} is not on record, or cannot be read`);
    const [error] = lintCertificate(certificate.tbsDer, { issuer: issuer.certificate, kind: version.profile.kind }).filter(({ severity }) => severity === 'error');
    if (error !== undefined) findings.breach('certificate-profile', subject(), `${error.rule}: ${error.detail} (${error.citation})`);
    const allowed = this.#allowed(row, issuer, version.profile);
    const other = certificate.extensions.find(({ oid }) => !allowed.has(oid));
    if (other !== undefined) findings.breach('certificate-profile', subject(), `has the extension ${other.oid}, which its profile ${version.profile.name} does not list`);
  }

  /** Whichever CRL shard it is: they differ in a URL. */
  #allowed(row: InspectedCertificate, issuer: Issuer, profile: Profile): ReadonlySet<string> {
    const key = `${row.caId}/${row.profileVersionId}`;
    const known = this.#extensions.get(key);
    if (known !== undefined) return known;
    const oids = new Set(leafExtensions(profile, { ...issuer.certificate, name: issuer.name }, 0).map((one) => ('oid' in one ? one.oid : holes[one.hole])));
    this.#extensions.set(key, oids);
    return oids;
  }
}

/** RFC 5280 sections 4.2.1.2 and 4.2.1.6. */
const holes = { subjectKeyIdentifier: '2.5.29.14', subjectAltName: '2.5.29.17' } as const;

function versionOf(document: string): Version {
  const profile = profileFromDocument(document);
  const namesEcu = profile.subject.some((part) => 'from' in part && part.from === 'ecuSerial') || profile.subjectAltNames.some(({ from }) => from === 'ecuSerial');
  return { profile, namesEcu };
}

function compareRow(row: InspectedCertificate, certificate: ParsedCertificate, issuer: Issuer, version: Version | undefined, tell: (what: string) => void): void {
  if (!equalBytes(certificate.serial, row.serial)) tell(`holds the serial ${toHex(certificate.serial)}`);
  // RFC 5280 section 4.1.2.2: positive, 20 octets at most.
  if ((certificate.serial[0] ?? 0x80) >= 0x80 || certificate.serial.length > 20) tell('has a serial that is not positive, or too long');
  if (!equalBytes(certificate.issuerDer, issuer.certificate.subjectDer)) tell(`was not issued by ${issuer.name}`);
  if (!equalBytes(spkiSha256(certificate.spkiDer), row.spkiSha256)) tell('holds another key than its row');
  // Whole seconds in the certificate, milliseconds in the row.
  if (Math.abs(certificate.notBefore.getTime() - row.notBefore) >= 1000) tell('begins at another time than its row says');
  if (Math.abs(certificate.notAfter.getTime() - row.notAfter) >= 1000) tell('ends at another time than its row says');
  if (row.ecuSerial !== null && version?.namesEcu === true && !Buffer.from(certificate.tbsDer.buffer, certificate.tbsDer.byteOffset, certificate.tbsDer.length).includes(row.ecuSerial)) {
    tell('does not name the ECU of its row');
  }
}

function compareTimes(row: InspectedCertificate, { notBefore, notAfter }: ParsedCertificate, issuer: Issuer, tell: (what: string) => void): void {
  if (notAfter > issuer.certificate.notAfter) tell(`ends after its CA ${issuer.name}`);
  if (notBefore > notAfter) tell('ends before it begins');
  if (notBefore.getTime() > row.issuedAt + CLOCKS_MS) tell('begins later than it was issued');
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}
