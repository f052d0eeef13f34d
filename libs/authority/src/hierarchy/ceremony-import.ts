import { type CaName, type Clock, PkiError } from '@fleetroot/core';
import { parseCertificate } from '@fleetroot/x509';
import type { HeldAuthority, HeldCertificate, HeldCrl, HeldObjects } from '../ceremony/held.ts';
import type { AuthorityLedger, CertificationAuthority } from '../ports/authorities.ts';
import type { CrlLedger } from '../ports/status.ts';
import { importCrl } from './crl-import.ts';
import { importAuthority, importCertificate, type ImportOptions, importForeignCross } from './import.ts';

export interface CeremonyImportOptions {
  /** As AuditEvent has it. */
  readonly actor: string;
  readonly clock: Clock;
  /** Of a CA that comes on record, unless it is the next generation of one that is there: that one is prepared. */
  readonly state: 'active' | 'prepared';
  /** Who answers for what a CRL of the ceremonies revokes that is on record; undefined: such a CRL is refused. */
  readonly principalId?: number;
}

/**
 * Puts on record what ceremonies made: CAs with their certificates, cross-certificates, OCSP signers, and the CRLs of CAs
 * whose keys are not here. Every chain is checked. What is on record stays as it is, so that the same folder may be imported
 * again and again; a certificate that has expired, or a CRL that is not newer, is left out.
 * @returns the CAs of the folder, as they are on record
 * @throws PkiError `ca.certificate-refused`, `ca.conflict`, `crl.import-refused`; what came before stays on record
 */
export async function importCeremony(
  ledger: AuthorityLedger, crls: Pick<CrlLedger, 'latest' | 'entries' | 'adopt'>, held: HeldObjects, given: CeremonyImportOptions,
): Promise<readonly CertificationAuthority[]> {
  const options = { ...given, crls };
  const now = options.clock.now();
  for (const authority of held.authorities) await importHeld(ledger, authority, held.certificates, now, options);
  for (const certificate of held.certificates) {
    if (certificate.kind !== 'ca' && isCurrent(certificate.certificate, now)) await importOther(ledger, certificate, options);
  }
  await importCrls(ledger, crls, held.crls, options);
  const names = new Set<string>(held.authorities.map(({ name }) => name));
  return (await ledger.all()).filter(({ name }) => names.has(name));
}

const isCurrent = (der: Uint8Array, now: Date): boolean => parseCertificate(der).notAfter >= now;

/** A CA with its renewed certificates: a CA below may live longer than the first of them. */
async function importHeld(
  ledger: AuthorityLedger, held: HeldAuthority, certificates: readonly HeldCertificate[], now: Date, options: CeremonyImportOptions & ImportOptions,
): Promise<void> {
  const renewed = certificates.filter(({ kind, subject }) => kind === 'ca' && subject === held.name).map(({ certificate }) => certificate);
  const own = [held.certificate, ...renewed];
  const current = own.filter((der) => isCurrent(der, now));
  for (const certificate of current.length === 0 ? [held.certificate] : current) {
    const { authority, changed } = await importAuthority(ledger, { ...held, certificate, state: options.state }, options);
    if (changed) await requireParent(ledger, held, authority);
  }
}

/** The folder names the parent, the certificate proves it: where they differ, the folder is not of this hierarchy. */
async function requireParent(ledger: AuthorityLedger, { name, parent }: HeldAuthority, { parentId }: CertificationAuthority): Promise<void> {
  const found = (await ledger.all()).find(({ id }) => id === parentId)?.name;
  if (found !== parent) throw new PkiError('ca.certificate-refused', `the ceremony has ${parent ?? 'no CA'} above ${name}, and its certificate is signed by ${found ?? 'its own key'}`);
}

async function importOther(ledger: AuthorityLedger, { kind, subject, issuer, certificate, file }: HeldCertificate, options: ImportOptions): Promise<void> {
  const of: CaName | undefined = kind === 'ocsp-signer' ? issuer : subject;
  if (of !== undefined) {
    await importCertificate(ledger, await ledger.byName(of), certificate, options);
  } else if (kind === 'cross' && issuer !== undefined) {
    await importForeignCross(ledger, await ledger.byName(issuer), certificate, options);
  } else {
    throw new PkiError('ca.certificate-refused', `${file} names neither the CA that it is of nor the one that signed it`);
  }
}

async function importCrls(
  ledger: AuthorityLedger, crls: Pick<CrlLedger, 'latest' | 'entries' | 'adopt'>, held: readonly HeldCrl[], options: CeremonyImportOptions,
): Promise<void> {
  const newest = new Map<CaName, HeldCrl>();
  for (const crl of held) if (crl.number > (newest.get(crl.authority)?.number ?? -1n)) newest.set(crl.authority, crl);
  for (const { authority: name, number, crl } of newest.values()) {
    const authority = await ledger.byName(name);
    // Where the key is here the issuer publishes: its numbers are by the clock, and ahead of any ceremony's.
    if (authority.keyId !== undefined) continue;
    const before = await crls.latest(authority.id);
    if (before === undefined || number > before.number) await importCrl({ authorities: ledger, crls }, authority, crl, options);
  }
}
