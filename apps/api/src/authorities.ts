import type { AuthorityLedger, CertificationAuthority } from '@fleetroot/authority';
import { caName } from '@fleetroot/core';
import { encodePem } from '@fleetroot/x509';

/** The CAs on record, as the api needs them. */
export class Authorities {
  readonly #ledger: AuthorityLedger;
  readonly #issuing: string;

  /** @param issuing name of the CA that issues for lines, gateways and first connections */
  constructor(ledger: AuthorityLedger, issuing: string) {
    this.#ledger = ledger;
    this.#issuing = issuing;
  }

  /** @throws PkiError `ca.not-found` */
  issuing(): Promise<CertificationAuthority> {
    return this.#ledger.byName(caName(this.#issuing));
  }

  all(): Promise<readonly CertificationAuthority[]> {
    return this.#ledger.all();
  }

  /** The certificates from the issuing CA up to its root, PEM. */
  async chain(): Promise<string[]> {
    const all = new Map((await this.#ledger.all()).map((ca) => [ca.id, ca]));
    const chain: string[] = [];
    let ca: CertificationAuthority | undefined = await this.issuing();
    // A hierarchy has a few levels: the bound keeps a row that points at itself from hanging us.
    while (ca !== undefined && chain.length < 10) {
      chain.push(encodePem('CERTIFICATE', ca.certificate));
      ca = ca.parentId === undefined ? undefined : all.get(ca.parentId);
    }
    return chain;
  }
}
