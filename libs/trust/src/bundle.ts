import { equalBytes, PkiError } from '@fleetroot/core';
import { describeName, encodePem, type ParsedCertificate, type ParsedCrl, parseCertificate, parseCrl, verifySignature } from '@fleetroot/x509';

/** A CA that a truststore holds. */
export interface TrustedCa {
  /** DER. */
  readonly certificate: Uint8Array;
}

/**
 * The CA certificates of a truststore as PEM: roots first, then each level of subordinates, by name within a level. The
 * same CAs give the same text, in whatever order they come; a CA that comes twice is written once.
 * @throws PkiError `certificate.malformed`
 */
export const truststorePem = (cas: readonly TrustedCa[]): string =>
  ordered(cas).map(({ der }) => encodePem('CERTIFICATE', der)).join('');

/**
 * One valid CRL for each CA of a truststore as PEM, in the order of `truststorePem`: what a gateway needs beside it, as
 * one that lacks a single CRL or holds one past nextUpdate lets no client in (I29). Valid: signed by the CA, and `now`
 * lies within thisUpdate and nextUpdate, both included. Of several the one with the highest number is taken; CRLs of
 * other CAs are left out.
 * @param crls DER
 * @throws PkiError `truststore.incomplete` where a CA has none; `data.ca` names it
 */
export function crlBundle(cas: readonly TrustedCa[], crls: readonly Uint8Array[], now: Date): string {
  const parsed = crls.map((der) => parseCrl(der));
  return ordered(cas).map((ca) => encodePem('X509 CRL', currentCrl(ca, parsed, now).der)).join('');
}

function currentCrl(ca: ParsedCertificate, crls: readonly ParsedCrl[], now: Date): ParsedCrl {
  const own = crls.filter((crl) => isSignedBy(crl, ca));
  const current = own.filter(({ thisUpdate, nextUpdate }) => thisUpdate <= now && now <= nextUpdate);
  const [first, ...others] = current;
  if (first === undefined) {
    const name = describeName(ca.subjectDer);
    const why = own.length === 0 ? 'has no CRL' : 'has no CRL that is valid now';
    throw new PkiError('truststore.incomplete', `${name} ${why}: publish one`, { data: { ca: name } });
  }
  return others.reduce((best, crl) => (crl.number > best.number ? crl : best), first);
}

/** The right name is not enough: a gateway refuses all clients over a CRL that another key signed. */
function isSignedBy(crl: ParsedCrl, ca: ParsedCertificate): boolean {
  return equalBytes(crl.issuerDer, ca.subjectDer)
    && (ca.subjectKeyIdentifier === undefined || equalBytes(crl.authorityKeyIdentifier, ca.subjectKeyIdentifier))
    && verifySignature(ca.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature);
}

function ordered(cas: readonly TrustedCa[]): ParsedCertificate[] {
  const all = cas.map(({ certificate }) => parseCertificate(certificate)).sort(byOctets);
  const once = all.filter((ca, place) => place === 0 || !equalBytes(ca.der, all[place - 1]?.der ?? ca.der));
  const levels = new Map(once.map((ca) => [ca, level(ca, once)]));
  return once.sort((a, b) => (levels.get(a) ?? 0) - (levels.get(b) ?? 0)
    || compare(describeName(a.subjectDer), describeName(b.subjectDer)) || byOctets(a, b));
}

const byOctets = (a: ParsedCertificate, b: ParsedCertificate): number => Buffer.compare(a.der, b.der);

/** By code points, so that no locale changes the file. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** 0 for a root; else one more than its issuer, or 1 where the issuer is not in the truststore. */
function level(ca: ParsedCertificate, cas: readonly ParsedCertificate[], above: readonly ParsedCertificate[] = []): number {
  if (equalBytes(ca.subjectDer, ca.issuerDer)) return 0;
  const issuer = cas.find((other) => equalBytes(other.subjectDer, ca.issuerDer) && !above.includes(other));
  return issuer === undefined ? 1 : 1 + level(issuer, cas, [...above, ca]);
}
