import type { AuditEvent } from '@fleetroot/audit';
import type {
  AuthorityLedger, CaState, CeremonyCertificate, CertificationAuthority, Following, NewAuthority, NewCaRevocation,
} from '@fleetroot/authority';
import { type CaName, PkiError } from '@fleetroot/core';
import type { Database } from '../database.ts';
import { AUTHORITY_COLUMNS, authorityOf, type AuthorityRow, readAuthorities } from './authority-row.ts';
import { certificatesOf } from './ceremony-certificates.ts';
import { recordAuthority, recordCertificate } from './record.ts';
import { revokeAuthority } from './revoke.ts';
import { changeState, setSuccession, type Succession, switchOver } from './succession.ts';

export class PostgresAuthorityLedger implements AuthorityLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  all(): Promise<readonly CertificationAuthority[]> {
    return readAuthorities(this.#database);
  }

  async byName(name: CaName): Promise<CertificationAuthority> {
    const [row] = await this.#database.query<AuthorityRow>(`SELECT ${AUTHORITY_COLUMNS} FROM ca WHERE name = $1`, [name]);
    if (row === undefined) throw new PkiError('ca.not-found', `no CA is called ${name}`);
    return authorityOf(row);
  }

  add(ca: NewAuthority, event: AuditEvent, follows?: Following): Promise<CertificationAuthority> {
    return this.#database.transaction((tx) => recordAuthority(tx, ca, event, follows));
  }

  certificates(caId: number): Promise<readonly CeremonyCertificate[]> {
    return certificatesOf(this.#database, caId);
  }

  addCertificate(certificate: CeremonyCertificate, event: AuditEvent): Promise<boolean> {
    return this.#database.transaction((tx) => recordCertificate(tx, certificate, event));
  }

  change(caId: number, from: CaState, to: CaState, event: AuditEvent): Promise<CertificationAuthority> {
    return this.#database.transaction((tx) => changeState(tx, caId, from, to, event));
  }

  succeed(caId: number, succession: Succession | undefined, event: AuditEvent): Promise<CertificationAuthority> {
    return this.#database.transaction((tx) => setSuccession(tx, caId, succession, event));
  }

  switchOver(caId: number, now: Date, event: AuditEvent): Promise<boolean> {
    return this.#database.transaction((tx) => switchOver(tx, caId, now, event));
  }

  async lastDependant(caId: number): Promise<Date | undefined> {
    // By intents and not by certificates: a few of the former stand for hundreds of the latter, and of a burned serial
    // there may be a certificate somewhere. OCSP signers do not count: a retiring CA certifies them as long as it lasts,
    // and would never end.
    const [row] = await this.#database.query<{ last: Date | null }>(
      `SELECT greatest(
         (SELECT max(not_after) FROM intent WHERE ca_id = $1 AND profile_version_id NOT IN (SELECT id FROM profile_version WHERE name = 'ocsp-signer')),
         (SELECT max(not_after) FROM ceremony_certificate WHERE issuer_id = $1 AND subject_id IS DISTINCT FROM $1 AND kind <> 'ocsp-signer')) AS last`, [caId]);
    return row?.last ?? undefined;
  }

  revoke(revocation: NewCaRevocation, event: AuditEvent): Promise<{ readonly changed: boolean; readonly offlineIssuers: readonly CaName[] }> {
    return this.#database.transaction((tx) => revokeAuthority(tx, revocation, event));
  }
}
