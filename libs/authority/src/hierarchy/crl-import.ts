import { hash } from 'node:crypto';
import { type Clock, equalBytes, isPkiError, PkiError, toHex } from '@fleetroot/core';
import { type CrlEntry, keyIdentifier, parseCertificate, type ParsedCrl, parseCrl, verifySignature } from '@fleetroot/x509';
import type { AuthorityLedger, CertificationAuthority } from '../ports/authorities.ts';
import type { PublishedCrl } from '../ports/crl.ts';
import { type CrlLedger, type ListedRevocation, type RevocationReason, revocationReasons } from '../ports/status.ts';
import { strengthOf } from '../revocation/reason.ts';

export interface CrlImportLedgers {
  readonly authorities: Pick<AuthorityLedger, 'all' | 'certificates' | 'revoke'>;
  readonly crls: Pick<CrlLedger, 'latest' | 'entries' | 'adopt'>;
}

export interface CrlImportOptions {
  /** As AuditEvent has it. */
  readonly actor: string;
  readonly clock: Clock;
  /** Who answers for the revocations that the CRL brings; undefined: one that brings any is refused. */
  readonly principalId?: number | undefined;
}

export interface ImportedCrl {
  readonly crl: PublishedCrl;
  /** False: the same CRL was on record. */
  readonly changed: boolean;
  /** Names of the CAs that it revoked. */
  readonly revoked: readonly string[];
}

/**
 * Publishes a CRL that a CA without a key here signed elsewhere: of that CA and its key, current, newer than the one on
 * record (I13), with everything in it that is revoked on record, for no weaker a reason (I12, I15). A CA below that it lists
 * is revoked first; other certificates on record that it lists are revoked with it, for OCSP to say the same. Durable on
 * return; the same CRL again changes nothing.
 * @param der DER
 * @throws PkiError `crl.import-refused` with the reason
 */
export async function importCrl(
  ledgers: CrlImportLedgers, authority: CertificationAuthority, der: Uint8Array, options: CrlImportOptions,
): Promise<ImportedCrl> {
  const { crls } = ledgers;
  const refuse = (why: string): never => {
    throw new PkiError('crl.import-refused', `the CRL of ${authority.name} is refused: ${why}`);
  };
  if (authority.keyId !== undefined) refuse('the key of this CA is online, and its CRLs are published here');
  const crl = readCrl(der, refuse);
  const before = await crls.latest(authority.id);
  const same = before !== undefined && equalBytes(before.der, der);
  const fault = originFault(crl, authority) ?? (same ? undefined : orderFault(crl, before, options.clock.now()))
    ?? await lossFault(crls, authority.id, crl);
  if (fault !== undefined) refuse(fault);

  // First what it revokes, then the CRL: a crash between the two leaves too much revoked, never too little.
  const listed = await listedOnRecord(ledgers, authority, crl, options, refuse);
  const revoked = await revokeListed(ledgers.authorities, authority, crl, options, refuse);
  const sha256 = hash('sha256', der, 'buffer');
  const published: PublishedCrl = {
    caId: authority.id, scope: 'all', kind: 'full', number: crl.number, baseNumber: undefined,
    thisUpdate: crl.thisUpdate, nextUpdate: crl.nextUpdate, entries: crl.entries.size, sha256, der,
  };
  const changed = !same && await crls.adopt(published, published.entries, {
    action: 'crl.imported', actor: options.actor, at: options.clock.now(), subject: `ca:${authority.name}`,
    data: {
      number: crl.number.toString(), thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate.toISOString(),
      entries: crl.entries.size, sha256: toHex(sha256),
    },
  }, listed);
  if (!changed && !same) refuse('a newer one was published meanwhile');
  return { crl: published, changed, revoked };
}

function readCrl(der: Uint8Array, refuse: (why: string) => never): ParsedCrl {
  try {
    const crl = parseCrl(der);
    crl.entries.index();
    return crl;
  } catch (error) {
    if (isPkiError(error)) return refuse(error.message);
    throw error;
  }
}

/** Of this CA and by its key (I15): another CA's CRL under this one's name would shut every client out. */
function originFault(crl: ParsedCrl, authority: CertificationAuthority): string | undefined {
  const issuer = parseCertificate(authority.certificate);
  if (!equalBytes(crl.issuerDer, issuer.subjectDer)) return 'it is of another issuer';
  if (!equalBytes(crl.authorityKeyIdentifier, issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.spkiDer))) return 'it names another key than that of the CA';
  return verifySignature(issuer.spkiDer, crl.signatureAlgorithm, crl.tbsDer, crl.signature) ? undefined : 'its signature does not verify under the key of the CA';
}

function orderFault(crl: ParsedCrl, before: PublishedCrl | undefined, now: Date): string | undefined {
  if (crl.thisUpdate > now) return `its thisUpdate, ${crl.thisUpdate.toISOString()}, lies in the future`;
  if (crl.nextUpdate <= now) return `it expired at ${crl.nextUpdate.toISOString()}: sign a new one`;
  if (before === undefined) return undefined;
  if (crl.number <= before.number) return `its number ${crl.number} is not above number ${before.number}, which is published`;
  return crl.thisUpdate < before.thisUpdate ? `its thisUpdate is before that of number ${before.number}, which is published` : undefined;
}

/** What the ledger has as revoked must be on it, and for a reason that says as much (I12). */
async function lossFault(crls: CrlImportLedgers['crls'], caId: number, crl: ParsedCrl): Promise<string | undefined> {
  for await (const { serial, reason } of crls.entries(caId)) {
    const listed = crl.entries.get(toHex(serial));
    if (listed === undefined) return `it lacks ${toHex(serial)}, which is revoked: sign one that lists it`;
    if (strength(listed.reason) < strength(reason)) return `it lists ${toHex(serial)} for a weaker reason than the one on record`;
  }
  return undefined;
}

const strength = (reason: number): number => strengthOf(reasonNames.get(reason) ?? 'unspecified');

const reasonNames: ReadonlyMap<number, RevocationReason> =
  new Map(Object.entries(revocationReasons).map(([name, number]) => [number, name as RevocationReason]));

const { keyCompromise, cACompromise, certificateHold } = revocationReasons;

/**
 * The certificates on record that the CRL lists and the ledger does not: older ones of CAs, cross-certificates, OCSP signers.
 * A hold of one would have to be taken back by the next CRL, which nothing on record ever is (I12).
 */
async function listedOnRecord(
  { authorities, crls }: CrlImportLedgers, issuer: CertificationAuthority, crl: ParsedCrl, { principalId }: CrlImportOptions,
  refuse: (why: string) => never,
): Promise<ListedRevocation[]> {
  const known = new Map<string, number>();
  for await (const { serial, reason } of crls.entries(issuer.id)) known.set(toHex(serial), reason);
  const all = await authorities.all();
  const listed: ListedRevocation[] = [];
  for (const { subjectId, issuerId, serial, notAfter, certificate } of await authorities.certificates(issuer.id)) {
    const entry = issuerId === issuer.id && subjectId !== issuer.id ? crl.entries.get(toHex(serial)) : undefined;
    if (entry === undefined || notAfter < crl.thisUpdate || known.get(toHex(serial)) === entry.reason) continue;
    const ca = all.find(({ id }) => id === subjectId);
    const what = ca !== undefined && equalBytes(certificate, ca.certificate) ? `the CA ${ca.name}` : `the certificate ${toHex(serial)}, which is on record,`;
    if (entry.reason === certificateHold) refuse(`it lists ${what} as on hold: that is revoked for good, or not at all`);
    if (principalId === undefined) return refuse(`it revokes ${what} and nobody answers for that: put it through the API, or name somebody`);
    listed.push({ serial, revokedAt: entry.revokedAt, reason: entry.reason, invalidityDate: entry.invalidityDate, notAfter, principalId });
  }
  return listed;
}

/**
 * Revokes the CAs on record that the CRL lists by the certificate they have now. An older certificate, or a
 * cross-certificate, that is listed says nothing of the CA, unless it says that the key is compromised.
 */
async function revokeListed(
  authorities: CrlImportLedgers['authorities'], issuer: CertificationAuthority, crl: ParsedCrl, options: CrlImportOptions,
  refuse: (why: string) => never,
): Promise<string[]> {
  const all = await authorities.all();
  const listed = new Map<CertificationAuthority, CrlEntry>();
  for (const { subjectId, issuerId, serial, certificate } of await authorities.certificates(issuer.id)) {
    const entry = issuerId === issuer.id ? crl.entries.get(toHex(serial)) : undefined;
    const ca = all.find(({ id }) => id === subjectId);
    if (entry === undefined || ca === undefined || ca.id === issuer.id) continue;
    const compromised = entry.reason === keyCompromise || entry.reason === cACompromise;
    if (!compromised && !equalBytes(certificate, ca.certificate)) continue;
    if (strength(entry.reason) > strength(listed.get(ca)?.reason ?? certificateHold)) listed.set(ca, entry);
  }
  const revoked: string[] = [];
  for (const [ca, entry] of listed) {
    if (ca.revocation !== undefined && strength(ca.revocation.reason) >= strength(entry.reason)) continue;
    if (options.principalId === undefined) return refuse(`it revokes the CA ${ca.name}: put it through the API, by somebody who answers for that`);
    const { revokedAt, reason, invalidityDate } = entry;
    await authorities.revoke(
      { caId: ca.id, reason, revokedAt, principalId: options.principalId, ...(invalidityDate === undefined ? {} : { invalidityDate }) },
      {
        action: 'ca.revoked', actor: options.actor, at: options.clock.now(), subject: `ca:${ca.name}`,
        data: { reason: reasonNames.get(reason) ?? String(reason), crl: crl.number.toString(), issuer: issuer.name },
      },
    );
    revoked.push(ca.name);
  }
  return revoked;
}
