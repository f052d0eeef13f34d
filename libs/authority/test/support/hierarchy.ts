import type { AuditEvent } from '@fleetroot/audit';
import { type CaName, caName, equalBytes, PkiError, toHex } from '@fleetroot/core';
import { parseCertificate } from '@fleetroot/x509';
import type { SoftwareCa } from '../../../../test/support/software-ca.ts';
import type {
  AuthorityLedger, CaState, CeremonyCertificate, CertificationAuthority, Following, NewAuthority, NewCaRevocation,
} from '../../src/index.ts';

let ids = 0;

/** A CA as the ledger would have it. */
export function onRecord(name: string, ca: SoftwareCa, fields: Partial<CertificationAuthority> = {}): CertificationAuthority {
  const { notBefore, notAfter } = parseCertificate(ca.certificate);
  return {
    id: ++ids, name: caName(name), parentId: undefined, state: 'active', certificate: ca.certificate, keyId: ca.keyId,
    signatureAlgorithm: undefined, labels: {}, successorId: undefined, switchAt: undefined, revocation: undefined, notBefore, notAfter, ...fields,
  };
}

/** The hierarchy by the rules of the port; the real ledger is tested in test/integration. */
export class MemoryAuthorities implements AuthorityLedger {
  cas: CertificationAuthority[] = [];
  recorded: CeremonyCertificate[] = [];
  events: AuditEvent[] = [];

  async all(): Promise<readonly CertificationAuthority[]> {
    return this.cas;
  }

  async byName(name: CaName): Promise<CertificationAuthority> {
    const found = this.cas.find((ca) => ca.name === name);
    if (found === undefined) throw new PkiError('ca.not-found');
    return found;
  }

  async add(ca: NewAuthority, event: AuditEvent, follows?: Following): Promise<CertificationAuthority> {
    if (this.cas.some(({ name }) => name === ca.name)) throw new PkiError('ca.conflict');
    const added = { ...ca, id: ++ids, successorId: undefined, switchAt: undefined, revocation: undefined };
    this.cas.push(added);
    const { serial } = parseCertificate(ca.certificate);
    this.recorded.push({ kind: 'ca', subjectId: added.id, issuerId: ca.parentId ?? added.id, serial, certificate: ca.certificate, notBefore: ca.notBefore, notAfter: ca.notAfter });
    this.events.push(event);
    if (follows !== undefined) await this.succeed(follows.predecessorId, { successorId: added.id, switchAt: follows.switchAt }, follows.event);
    return added;
  }

  async certificates(caId: number): Promise<readonly CeremonyCertificate[]> {
    return this.recorded.filter(({ subjectId, issuerId }) => subjectId === caId || issuerId === caId);
  }

  async addCertificate(certificate: CeremonyCertificate, event: AuditEvent): Promise<boolean> {
    if (this.recorded.some((known) => equalBytes(known.certificate, certificate.certificate))) return false;
    this.recorded.push(certificate);
    this.events.push(event);
    const ca = this.cas.find(({ id }) => id === certificate.subjectId);
    if (certificate.kind === 'ca' && ca !== undefined && certificate.notAfter > ca.notAfter) {
      this.#replace(ca, { certificate: certificate.certificate, notBefore: certificate.notBefore, notAfter: certificate.notAfter });
    }
    return true;
  }

  async change(caId: number, _from: CaState, to: CaState, event: AuditEvent): Promise<CertificationAuthority> {
    this.events.push(event);
    return this.#replace(this.#byId(caId), { state: to });
  }

  async succeed(caId: number, succession: { successorId: number; switchAt: Date } | undefined, event: AuditEvent): Promise<CertificationAuthority> {
    this.events.push(event);
    return this.#replace(this.#byId(caId), succession ?? { successorId: undefined, switchAt: undefined });
  }

  async switchOver(): Promise<boolean> {
    return false;
  }

  async lastDependant(): Promise<Date | undefined> {
    return undefined;
  }

  async revoke({ caId, reason, revokedAt }: NewCaRevocation, event: AuditEvent): Promise<{ changed: boolean; offlineIssuers: readonly CaName[] }> {
    this.events.push(event);
    this.#replace(this.#byId(caId), { state: reason === 1 || reason === 2 ? 'compromised' : 'retired', revocation: { revokedAt, reason } });
    return { changed: true, offlineIssuers: [] };
  }

  #byId(caId: number): CertificationAuthority {
    return this.cas.find(({ id }) => id === caId) as CertificationAuthority;
  }

  #replace(ca: CertificationAuthority, fields: Partial<CertificationAuthority>): CertificationAuthority {
    const next = { ...ca, ...fields };
    this.cas[this.cas.indexOf(ca)] = next;
    return next;
  }
}

export const serialHex = (ca: SoftwareCa): string => toHex(parseCertificate(ca.certificate).serial);
