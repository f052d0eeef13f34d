import type { AuditEvent } from '@fleetroot/audit';
import type { CeremonyCertificate, CertificationAuthority, Following, NewAuthority } from '@fleetroot/authority';
import { equalBytes, PkiError } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Queryable } from '../database.ts';
import { AUTHORITY_COLUMNS, authorityOf, type AuthorityRow, lockAuthority } from './authority-row.ts';
import { type CaCertificateFacts, caCertificateFacts } from './ca-certificate.ts';
import { insertCeremonyCertificate } from './ceremony-certificates.ts';
import { setSuccession } from './succession.ts';

/** See AuthorityLedger.add. */
export async function recordAuthority(tx: Queryable, ca: NewAuthority, event: AuditEvent, follows?: Following): Promise<CertificationAuthority> {
  const facts = caCertificateFacts(ca.certificate, 'certificate.malformed');
  // Waits for another process that records the same name or key, and then sees what it has recorded.
  const [row] = await tx.query<AuthorityRow>(
    `INSERT INTO ca (name, parent_id, state, certificate, spki_sha256, key_id, signature_algorithm, labels, not_before, not_after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING ${AUTHORITY_COLUMNS}`,
    [
      ca.name, ca.parentId ?? null, ca.state, ca.certificate, facts.spkiSha256, ca.keyId ?? null, ca.signatureAlgorithm ?? null,
      JSON.stringify(ca.labels), ca.notBefore, ca.notAfter,
    ]);
  if (row === undefined) return onRecord(tx, ca, facts);
  const issuerId = ca.parentId ?? (facts.selfSigned ? row.id : undefined);
  const own = {
    kind: 'ca', subjectId: row.id, issuerId, serial: facts.serial, certificate: ca.certificate, notBefore: ca.notBefore, notAfter: ca.notAfter,
  } as const;
  if (!(await insertCeremonyCertificate(tx, own, facts.sha256))) throw serialUsed(`of the CA ${ca.name}`);
  await appendEvent(tx, event);
  if (follows !== undefined) await setSuccession(tx, follows.predecessorId, { successorId: row.id, switchAt: follows.switchAt }, follows.event);
  return authorityOf(row);
}

async function onRecord(tx: Queryable, ca: NewAuthority, { sha256, spkiSha256 }: CaCertificateFacts): Promise<CertificationAuthority> {
  const rows = await tx.query<AuthorityRow & { same: boolean }>(
    `SELECT ${AUTHORITY_COLUMNS},
       EXISTS (SELECT FROM ceremony_certificate c WHERE c.subject_id = ca.id AND c.kind = 'ca' AND c.sha256 = $3) AS same
     FROM ca WHERE name = $1 OR spki_sha256 = $2`, [ca.name, spkiSha256, sha256]);
  const named = rows.find(({ name }) => name === ca.name);
  if (named !== undefined && (named.same || equalBytes(named.certificate, ca.certificate))) return authorityOf(named);
  if (named !== undefined) throw new PkiError('ca.conflict', `a CA called ${ca.name} is on record with another certificate`);
  throw new PkiError('ca.conflict', `the key of the CA ${ca.name} is on record as that of the CA ${rows[0]?.name ?? 'of another name'}`);
}

/** See AuthorityLedger.addCertificate. */
export async function recordCertificate(tx: Queryable, certificate: CeremonyCertificate, event: AuditEvent): Promise<boolean> {
  const facts = caCertificateFacts(certificate.certificate, 'certificate.malformed');
  // Locked before the insert: of two renewals at once the one that ends later is the one that stays.
  const subject = certificate.subjectId === undefined ? undefined : await lockAuthority(tx, certificate.subjectId);
  if (!(await insertCeremonyCertificate(tx, certificate, facts.sha256))) {
    const same = await tx.query('SELECT FROM ceremony_certificate WHERE sha256 = $1', [facts.sha256]);
    if (same.length > 0) return false;
    throw serialUsed(subject === undefined ? 'of the OCSP signer' : `of the CA ${subject.name}`);
  }
  if (subject !== undefined) await requireItsOwn(tx, subject, certificate, facts);
  if (subject !== undefined && certificate.kind === 'ca' && certificate.notAfter > subject.notAfter) {
    await tx.query('UPDATE ca SET certificate = $2, not_before = $3, not_after = $4 WHERE id = $1',
      [subject.id, certificate.certificate, certificate.notBefore, certificate.notAfter]);
  }
  await appendEvent(tx, event);
  return true;
}

async function requireItsOwn(tx: Queryable, subject: CertificationAuthority, { kind, issuerId }: CeremonyCertificate, { spkiSha256 }: CaCertificateFacts): Promise<void> {
  const its = await tx.query('SELECT FROM ca WHERE id = $1 AND spki_sha256 = $2', [subject.id, spkiSha256]);
  if (its.length === 0) throw new PkiError('ca.conflict', `the certificate is not of the key of the CA ${subject.name}`);
  // It would go to the gateways as valid while the CA is revoked.
  if (subject.revocation !== undefined) throw new PkiError('ca.state-refused', `the CA ${subject.name} is revoked: no further certificate of its key is taken`);
  const above = issuerId === subject.id ? undefined : issuerId;
  if (kind === 'ca' && above !== subject.parentId) {
    throw new PkiError('ca.conflict', `the certificate is by another CA than the one above ${subject.name}: record it as a cross-certificate`);
  }
}

const serialUsed = (whose: string): PkiError =>
  new PkiError('ca.conflict', `the serial number of the certificate ${whose} was used by its issuer for another certificate`);
