import { createHash } from 'node:crypto';
import { type CompromiseLedger, provenCompromise } from '@fleetroot/authority';
import { type CaName, type Clock, PkiError, type Serial, toHex } from '@fleetroot/core';
import type { OutboxRelay } from '../outbox-relay.ts';
import type { SystemPrincipal } from '../system-principal.ts';

const WINDOW_MS = 60_000;
/** Of everybody together: each costs a verification, and nobody must say who they are. */
const MOST_IN_A_WINDOW = 600;

export interface ProofParts {
  readonly compromises: CompromiseLedger;
  readonly relay: Pick<OutboxRelay, 'kick'>;
  readonly clock: Clock;
  readonly principal: SystemPrincipal;
}

export interface Compromised {
  readonly publicKeySha256: string;
  readonly changed: number;
  readonly certificates: readonly { readonly ca: CaName; readonly serial: Serial }[];
}

/** Proofs that a key is in other hands, from whoever has it. */
export class CompromiseProofs {
  readonly #parts: ProofParts;
  readonly #most: number;
  #window = 0;
  #taken = 0;

  constructor(parts: ProofParts, most = MOST_IN_A_WINDOW) {
    this.#parts = parts;
    this.#most = most;
  }

  /** @throws PkiError `http.too-many-requests`, or as `provenCompromise` and `CompromiseLedger.compromised` */
  async take(csr: string): Promise<Compromised> {
    const { compromises, relay, clock, principal } = this.#parts;
    const now = clock.now();
    this.#count(now);
    const { publicKeySha256, der } = provenCompromise(csr);
    const { changed, certificates } = await compromises.compromised({
      publicKeySha256, proofSha256: createHash('sha256').update(der).digest(), revokedAt: now, principalId: principal.id,
    });
    if (changed > 0) relay.kick();
    return { publicKeySha256: toHex(publicKeySha256), changed, certificates };
  }

  #count(now: Date): void {
    const window = Math.floor(now.getTime() / WINDOW_MS);
    if (window !== this.#window) [this.#window, this.#taken] = [window, 0];
    if (this.#taken >= this.#most) throw new PkiError('http.too-many-requests', 'too many proofs are being sent: try again in a minute');
    this.#taken += 1;
  }
}
