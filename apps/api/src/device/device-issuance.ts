import { createHash } from 'node:crypto';
import type { CertificationAuthority, SigningPurpose } from '@fleetroot/authority';
import { readRequest } from '@fleetroot/x509';
import { type SentItem, checkedItem } from '../batches/item.ts';
import { IssuanceOnRequest, type IssuedCertificate } from '../certificates/issuance-on-request.ts';
import type { KnownProfile } from '../profile-catalogue.ts';
import type { SystemPrincipal } from '../system-principal.ts';

/** Certificates for the ECU at the other end of the connection: what it is called comes from us, its key from it. */
export class DeviceIssuance {
  readonly #issuance: IssuanceOnRequest;
  readonly #principal: SystemPrincipal;

  constructor(issuance: IssuanceOnRequest, principal: SystemPrincipal) {
    this.#issuance = issuance;
    this.#principal = principal;
  }

  /** @throws PkiError as `checkedItem` and `IssuanceOnRequest.issue` */
  issue(
    facts: Omit<SentItem, 'csr'> & { readonly ecuSerial: string }, csr: string, profile: KnownProfile, by: Pick<CertificationAuthority, 'id'>,
    purpose: SigningPurpose,
  ): Promise<IssuedCertificate> {
    const item = checkedItem({ ...facts, csr }, 0, profile.profile);
    return this.#issuance.issue({
      principalId: this.#principal.id, actor: `ecu:${facts.ecuSerial}`, profile, caId: by.id, purpose, item, request: readRequest(item.csr),
      idempotencyKey: undefined, bodySha256: createHash('sha256').update(item.csr).digest(),
    });
  }
}
