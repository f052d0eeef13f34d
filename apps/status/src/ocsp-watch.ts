import { type Clock, equalBytes, fromHex, PkiError } from '@fleetroot/core';
import type { CertificationAuthority } from '@fleetroot/authority';
import type { OcspSigner } from '@fleetroot/ocsp';
import type { StatusStore } from '@fleetroot/store';
import { RevocationWatch } from '@fleetroot/trust';

export interface OcspWatchParts {
  readonly ledger: Pick<StatusStore, 'authorities' | 'revocations'>;
  readonly signers: { signerFor(caId: number): Promise<OcspSigner | undefined> };
  readonly clock: Clock;
  /** A serial, or all of a CA, may have another status now. */
  readonly onTold: (caId: number, serial?: Uint8Array) => void;
  /** Once when looking begins to fail, and not again before it has worked. */
  readonly onFailure: (error: unknown) => void;
}

/** Changes of one CA in the overlap that are told one by one; beyond, all of the CA is told of. */
const ONE_BY_ONE = 1000;

/**
 * What the responder must hear of, and what it goes on with while the ledger is away: CAs, signers, and whatever was
 * revoked, held or released.
 */
export class OcspWatch {
  readonly #parts: OcspWatchParts;
  readonly #watch: RevocationWatch;
  #authorities: readonly CertificationAuthority[] | undefined;
  #signers = new Map<number, OcspSigner | undefined>();

  constructor(parts: OcspWatchParts) {
    this.#parts = parts;
    const { ledger, clock, onTold, onFailure } = parts;
    this.#watch = new RevocationWatch({
      ledger: ledger.revocations, clock, oneByOne: ONE_BY_ONE, beside: () => this.#read(), onFailure,
      hearer: {
        certificate: (caId, serial) => onTold(caId, fromHex(serial)), authority: (caId) => onTold(caId),
        all: () => { for (const { id } of this.#authorities ?? []) onTold(id); },
      },
    });
  }

  start(): void {
    this.#watch.start();
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  /** The last known ones. @throws PkiError `store.unavailable` before the first look that worked */
  async authorities(): Promise<readonly CertificationAuthority[]> {
    if (this.#authorities === undefined) await this.look();
    if (this.#authorities === undefined) throw new PkiError('store.unavailable', 'the ledger was not read yet');
    return this.#authorities;
  }

  /** The last known one. */
  signerFor(caId: number): OcspSigner | undefined {
    return this.#signers.get(caId);
  }

  /** See OcspDeps.knownUntil. */
  knownUntil(): number | undefined {
    return this.#watch.began?.time;
  }

  /** @throws PkiError `clock.skew` */
  checkClock(): void {
    if (this.#watch.skewed) throw new PkiError('clock.skew', 'the clock of the status app is not the database\'s: set it right, nothing is signed meanwhile');
  }

  /** One look; one that is under way is waited for instead. Never rejects. */
  look(): Promise<void> {
    return this.#watch.look();
  }

  async #read(): Promise<() => void> {
    const authorities = await this.#parts.ledger.authorities();
    const signers = await Promise.all(authorities.map(async ({ id }) => [id, await this.#parts.signers.signerFor(id)] as const));
    return () => {
      const { onTold } = this.#parts;
      for (const [id, signer] of signers) {
        if (signer === this.#signers.get(id)) continue;
        this.#signers.set(id, signer);
        onTold(id);
      }
      if (this.#authorities !== undefined && sameList(this.#authorities, authorities)) return;
      this.#authorities = authorities;
      for (const { id } of authorities) onTold(id);
    };
  }
}

function sameList(before: readonly CertificationAuthority[], now: readonly CertificationAuthority[]): boolean {
  return before.length === now.length && before.every((one, i) => {
    const other = now[i];
    return other !== undefined && equalBytes(one.certificate, other.certificate) && factsOf(one) === factsOf(other);
  });
}

const factsOf = ({ id, state, parentId, keyId, revocation }: CertificationAuthority): string => JSON.stringify([id, state, parentId, keyId !== undefined, revocation]);
