import { hash } from 'node:crypto';
import { type CaName, type Clock, equalBytes, isPkiError, PkiError, toHex } from '@fleetroot/core';
import type { AuditEvent } from '@fleetroot/audit';
import {
  algorithmFitsKey, describeName, keyIdentifier, type ParsedCertificate, parseCertificate, parseCrl, sameSubject, type SignatureAlgorithm, verifySignature,
} from '@fleetroot/x509';
import type { AuthorityLedger, CaState, CeremonyCertificateKind, CertificationAuthority, Following } from '../ports/authorities.ts';
import type { CrlLedger } from '../ports/status.ts';
import { chainFault } from './chain.ts';
import { responderFault } from './responder.ts';

/** A CA that comes on record: its certificate, and what that does not tell. */
export interface GivenAuthority {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly name: CaName;
  /** CKA_ID of its key in the CA token; absent: its key is elsewhere. */
  readonly keyId?: Uint8Array | undefined;
  readonly signatureAlgorithm?: SignatureAlgorithm | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** The CA on record whose next generation it is. */
  readonly succeeds?: CaName | undefined;
  readonly state: CaState;
}

export interface ImportOptions {
  /** As AuditEvent has it. */
  readonly actor: string;
  readonly clock: Clock;
  /** What is published: a certificate that its issuer's CRL lists is refused. Absent: nothing is looked at. */
  readonly crls?: Pick<CrlLedger, 'latest'>;
}

export interface Imported {
  /** As it is on record now. */
  readonly authority: CertificationAuthority;
  /** False: the same certificate was on record. */
  readonly changed: boolean;
}

/**
 * Puts a CA on record, below the CA on record that signed its certificate. A certificate for the key of a CA on record, given
 * under that CA's name, is one more of it: see `importCertificate`. The next generation of a CA is to follow it when that
 * ends, until another time is set. The same certificate again changes nothing.
 * @throws PkiError `ca.certificate-refused` with the reason; `ca.conflict`; `ca.not-found` where `succeeds` names none
 */
export async function importAuthority(ledger: AuthorityLedger, given: GivenAuthority, options: ImportOptions): Promise<Imported> {
  const certificate = readCa(given.certificate);
  const all = await ledger.all();
  const holder = holderOf(certificate, all);
  if (holder !== undefined) {
    if (holder.name !== given.name) throw new PkiError('ca.conflict', `the key of this certificate is that of the CA ${holder.name}`);
    const { changed } = await addCaCertificate(ledger, holder, certificate, all, options);
    return { authority: await ledger.byName(holder.name), changed };
  }
  const issuer = issuerOnRecord(certificate, all);
  refuse(given.name, chainFault(certificate, issuer, all, options.clock.now()));
  refuse(given.name, await listedFault(certificate, issuer, options));
  refuse(given.name, algorithmFault(certificate, given.signatureAlgorithm));
  const before = given.succeeds === undefined ? undefined : await predecessor(ledger, given.succeeds);
  const authority = await ledger.add({
    name: given.name, parentId: issuer?.id, state: before === undefined ? given.state : 'prepared', certificate: certificate.der,
    keyId: given.keyId, signatureAlgorithm: given.signatureAlgorithm, labels: given.labels ?? {},
    notBefore: certificate.notBefore, notAfter: certificate.notAfter,
  }, told('ca.imported', given.name, certificate, options, {
    parent: issuer?.name ?? null, keyId: given.keyId === undefined ? null : toHex(given.keyId), succeeds: given.succeeds ?? null,
  }), before === undefined ? undefined : following(before, given.name, options));
  return { authority, changed: true };
}

/**
 * Records one more certificate of a CA on record: for its key by its own issuer (renewal) or by another CA on record
 * (cross-certificate), or of an OCSP signer that it signed where its key is not here. The same again changes nothing.
 * @throws PkiError `ca.certificate-refused` with the reason; `ca.conflict`
 */
export async function importCertificate(
  ledger: AuthorityLedger, authority: CertificationAuthority, der: Uint8Array, options: ImportOptions,
): Promise<{ readonly kind: CeremonyCertificateKind; readonly issuer: CertificationAuthority; readonly changed: boolean }> {
  const certificate = readCa(der);
  const all = await ledger.all();
  if (certificate.isCa) return addCaCertificate(ledger, authority, certificate, all, options);
  if (await isRecorded(ledger, authority, certificate)) return { kind: 'ocsp-signer', issuer: authority, changed: false };
  refuse(authority.name, responderFault(certificate, authority, all, options.clock.now()));
  refuse(authority.name, await listedFault(certificate, authority, options));
  const changed = await ledger.addCertificate(
    { kind: 'ocsp-signer', subjectId: undefined, issuerId: authority.id, ...recorded(certificate) },
    told('ca.certificate-imported', authority.name, certificate, options, { kind: 'ocsp-signer', issuer: authority.name }),
  );
  return { kind: 'ocsp-signer', issuer: authority, changed };
}

/**
 * Records a cross-certificate that a CA on record made for a CA that whoever gives it does not know by a name here: that of
 * another organisation. Where its key is on record after all, it is a certificate of that CA, and revoked with it.
 * @throws PkiError `ca.certificate-refused` with the reason
 */
export async function importForeignCross(
  ledger: AuthorityLedger, issuer: CertificationAuthority, der: Uint8Array, options: ImportOptions,
): Promise<boolean> {
  const certificate = readCa(der);
  if (await isRecorded(ledger, issuer, certificate)) return false;
  const all = await ledger.all();
  const holder = holderOf(certificate, all);
  if (holder !== undefined) return (await addCaCertificate(ledger, holder, certificate, all, options)).changed;
  refuse(issuer.name, chainFault(certificate, issuer, all, options.clock.now()));
  refuse(issuer.name, await listedFault(certificate, issuer, options));
  return ledger.addCertificate(
    { kind: 'cross', subjectId: undefined, issuerId: issuer.id, ...recorded(certificate) },
    told('ca.certificate-imported', issuer.name, certificate, options, { kind: 'cross', issuer: issuer.name }),
  );
}

/** The CA on record whose key it is. */
const holderOf = ({ spkiDer }: ParsedCertificate, all: readonly CertificationAuthority[]): CertificationAuthority | undefined =>
  all.find((ca) => equalBytes(parseCertificate(ca.certificate).spkiDer, spkiDer));

const isRecorded = async (ledger: AuthorityLedger, { id }: CertificationAuthority, { der }: ParsedCertificate): Promise<boolean> =>
  (await ledger.certificates(id)).some(({ certificate }) => equalBytes(certificate, der));

async function addCaCertificate(
  ledger: AuthorityLedger, subject: CertificationAuthority, certificate: ParsedCertificate, all: readonly CertificationAuthority[],
  options: ImportOptions,
): Promise<{ kind: CeremonyCertificateKind; issuer: CertificationAuthority; changed: boolean }> {
  const current = parseCertificate(subject.certificate);
  if (!equalBytes(current.spkiDer, certificate.spkiDer)) refuse(subject.name, `it is for another key than that of ${subject.name}: a new generation is a CA of its own`);
  if (!equalBytes(current.subjectDer, certificate.subjectDer)) refuse(subject.name, `it names ${describeName(certificate.subjectDer)}, and the CA on record is ${describeName(current.subjectDer)}`);
  const issuer = issuerOnRecord(certificate, all);
  if (issuer === undefined && subject.parentId !== undefined) refuse(subject.name, 'it is signed by its own key, and the CA on record is below another');
  const kind = issuer?.id === subject.parentId ? 'ca' : 'cross';
  // What is on record stays there, also when it has expired since or its issuer is trusted no more.
  if (equalBytes(subject.certificate, certificate.der) || await isRecorded(ledger, subject, certificate)) {
    return { kind, issuer: issuer ?? subject, changed: false };
  }
  if (subject.revocation !== undefined) refuse(subject.name, `the CA ${subject.name} is revoked, and its key with it`);
  refuse(subject.name, furtherFault(kind, certificate, current, options.clock.now()));
  refuse(subject.name, chainFault(certificate, issuer, all, options.clock.now()));
  refuse(subject.name, await listedFault(certificate, issuer, options));
  const changed = await ledger.addCertificate(
    // A root signs its own: then subject and issuer are one.
    { kind, subjectId: subject.id, issuerId: issuer?.id ?? subject.id, ...recorded(certificate) },
    told('ca.certificate-imported', subject.name, certificate, options, { kind, issuer: issuer?.name ?? subject.name }),
  );
  return { kind, issuer: issuer ?? subject, changed };
}

/** A CRL may be older on record than what it revokes. */
async function listedFault({ serial }: ParsedCertificate, issuer: CertificationAuthority | undefined, { crls }: ImportOptions): Promise<string | undefined> {
  const crl = issuer === undefined ? undefined : await crls?.latest(issuer.id);
  if (issuer === undefined || crl === undefined || parseCrl(crl.der).entries.get(toHex(serial)) === undefined) return undefined;
  return `the CRL ${crl.number} of ${issuer.name} lists it as revoked`;
}

/** What keeps a certificate, good by itself, from being one more of a CA that has one. */
function furtherFault(kind: 'ca' | 'cross', certificate: ParsedCertificate, current: ParsedCertificate, now: Date): string | undefined {
  const { subjectKeyIdentifier: own, notBefore } = certificate;
  // What the CA has signed points to it: paths through another one are not found (RFC 5280 section 4.2.1.1).
  if (own !== undefined && !equalBytes(own, current.subjectKeyIdentifier ?? keyIdentifier(current.spkiDer))) {
    return 'its subject key identifier is not that of the certificate on record';
  }
  // It would take the place of the one that is valid now, and the CA issue nothing until then.
  return kind === 'ca' && notBefore > now ? `its validity begins at ${notBefore.toISOString()}: import it after that` : undefined;
}

/**
 * The CA on record that signed the certificate, by name, key identifier and signature; undefined: its own key did.
 * @throws PkiError `ca.certificate-refused` where none did
 */
function issuerOnRecord(certificate: ParsedCertificate, all: readonly CertificationAuthority[]): CertificationAuthority | undefined {
  const { issuerDer, subjectDer, authorityKeyIdentifier, subjectKeyIdentifier } = certificate;
  const named = all.map((ca) => ({ ca, issuer: parseCertificate(ca.certificate) })).filter(({ issuer }) => sameSubject(issuer.subjectDer, issuerDer));
  const meant = named.filter(({ issuer }) => authorityKeyIdentifier === undefined || issuer.subjectKeyIdentifier === undefined
    || equalBytes(issuer.subjectKeyIdentifier, authorityKeyIdentifier));
  const found = meant.find(({ issuer }) => verifies(certificate, issuer) && !equalBytes(issuer.spkiDer, certificate.spkiDer));
  if (found !== undefined) return found.ca;
  const ownName = sameSubject(issuerDer, subjectDer)
    && (authorityKeyIdentifier === undefined || subjectKeyIdentifier === undefined || equalBytes(authorityKeyIdentifier, subjectKeyIdentifier));
  // Whether it is signed by its own key is for chainFault to say.
  if (ownName) return undefined;
  const [first] = meant;
  const why = first === undefined ? `its issuer ${describeName(issuerDer)} is not on record${named.length === 0 ? '' : ' with the key that it names'}: import that first`
    : `its signature does not verify under the key of ${first.ca.name}`;
  throw new PkiError('ca.certificate-refused', why);
}

function verifies({ signatureAlgorithm, tbsDer, signature }: ParsedCertificate, { spkiDer }: ParsedCertificate): boolean {
  try {
    return verifySignature(spkiDer, signatureAlgorithm, tbsDer, signature);
  } catch (error) {
    if (isPkiError(error)) return false;
    throw error;
  }
}

function readCa(der: Uint8Array): ParsedCertificate {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (!isPkiError(cause)) throw cause;
    throw new PkiError('ca.certificate-refused', `it cannot be read: ${cause.message}`, { cause });
  }
}

function algorithmFault({ spkiDer }: ParsedCertificate, algorithm: SignatureAlgorithm | undefined): string | undefined {
  return algorithm === undefined || algorithmFitsKey(algorithm, spkiDer) ? undefined : `its key cannot sign with ${algorithm}`;
}

function refuse(name: CaName, fault: string | undefined): void {
  if (fault !== undefined) throw new PkiError('ca.certificate-refused', `the certificate for ${name} is refused: ${fault}`);
}

/** @throws PkiError `ca.not-found`; `ca.conflict` where it is followed by another CA */
async function predecessor(ledger: AuthorityLedger, name: CaName): Promise<CertificationAuthority> {
  const ca = await ledger.byName(name);
  if (ca.successorId === undefined) return ca;
  throw new PkiError('ca.conflict', `the CA ${name} has a next generation already: take it back first (DELETE /v1/cas/${name}/succession)`);
}

/** At the latest when it ends; from now on the truststores that have the one take the other. */
const following = (before: CertificationAuthority, next: CaName, { actor, clock }: ImportOptions): Following => ({
  predecessorId: before.id, switchAt: before.notAfter,
  event: {
    action: 'ca.succession-changed', actor, at: clock.now(), subject: `ca:${before.name}`,
    data: { successor: next, switchAt: before.notAfter.toISOString() },
  },
});

const recorded = ({ serial, der, notBefore, notAfter }: ParsedCertificate) => ({ serial, certificate: der, notBefore, notAfter });

function told(
  action: AuditEvent['action'], name: CaName, { der }: ParsedCertificate, { actor, clock }: ImportOptions, data: AuditEvent['data'],
): AuditEvent {
  return { action, actor, at: clock.now(), subject: `ca:${name}`, data: { ...data, certificateSha256: toHex(hash('sha256', der, 'buffer')) } };
}
