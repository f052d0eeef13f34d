import { type Clock, equalBytes, fromHex, PkiError, toHex } from '@fleetroot/core';
import type { CertificationAuthority } from '@fleetroot/authority';
import type { OcspSigner } from '@fleetroot/ocsp';
import type { OcspAnswers, StatusStore } from '@fleetroot/store';

export interface OcspWatchParts {
  readonly ledger: Pick<StatusStore, 'authorities' | 'onRevoked'> & { readonly ocspAnswers: Pick<OcspAnswers, 'now' | 'changedSince'> };
  readonly signers: { signerFor(caId: number): Promise<OcspSigner | undefined> };
  readonly clock: Clock;
  readonly everyMs: number;
  /** A serial, or all of a CA, may have another status now. */
  readonly onTold: (caId: number, serial?: Uint8Array) => void;
  /** Once when looking begins to fail, and not again before it has worked. */
  readonly onFailure: (error: unknown) => void;
}

/** A row may become visible so long after its time: its transaction has statements that end within 10 s. */
const OVERLAP_MS = 15_000;
/** Changes of one CA in the overlap that are told one by one; beyond, all of the CA is told of. */
const ONE_BY_ONE = 1000;
/** The process's clock and the database's may differ by as much, and the process's clock may step by as much, in milliseconds. */
const SKEW_MS = 60_000;

/**
 * What the responder must hear of, and what it goes on with while the ledger is away: CAs, signers, and whatever was
 * revoked, held or released. It is told by the ledger's notifications, and looks by itself as well.
 */
export class OcspWatch {
  readonly #parts: OcspWatchParts;
  #authorities: readonly CertificationAuthority[] | undefined;
  #signers = new Map<number, OcspSigner | undefined>();
  /** changed_at by CA and serial, of what was told of and is inside the overlap. */
  #seen = new Map<string, number>();
  #knownUntil: number | undefined;
  /** The database's time at the last look that worked. */
  #lookedAt: number | undefined;
  /** The clock's time less a time that never steps, when both were known to be right. */
  #offset: number | undefined;
  #skewed = false;
  #failing = false;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  constructor(parts: OcspWatchParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#unsubscribe = this.#parts.ledger.onRevoked((payload) => this.#hear(payload), () => this.#tellAll());
    const again = (): void => {
      if (!this.#closed) this.#timer = setTimeout(() => void this.look().finally(again), this.#parts.everyMs);
    };
    void this.look().finally(again);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#unsubscribe?.();
    await this.#looking;
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
    return this.#knownUntil;
  }

  /** @throws PkiError `clock.skew` */
  checkClock(): void {
    const stepped = this.#offset === undefined ? 0 : this.#parts.clock.now().getTime() - performance.now() - this.#offset;
    if (this.#skewed || Math.abs(stepped) > SKEW_MS) {
      throw new PkiError('clock.skew', 'the clock of the status app is not the database\'s: set it right, nothing is signed meanwhile');
    }
  }

  /** One look; one that is under way is waited for instead. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    try {
      await this.#look();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#closed) this.#parts.onFailure(error);
      this.#failing = true;
    }
  }

  async #look(): Promise<void> {
    const { ledger, clock } = this.#parts;
    const began = clock.now().getTime();
    const databaseNow = (await ledger.ocspAnswers.now()).getTime();
    this.#compareClocks(began, databaseNow);
    const authorities = await ledger.authorities();
    const ids = authorities.map(({ id }) => id);
    const [changes, signers] = await Promise.all([
      ledger.ocspAnswers.changedSince(ids, new Date(Math.min(databaseNow, this.#lookedAt ?? databaseNow) - OVERLAP_MS), ONE_BY_ONE),
      Promise.all(ids.map(async (id) => [id, await this.#parts.signers.signerFor(id)] as const)),
    ]);
    for (const [id, signer] of signers) {
      if (signer === this.#signers.get(id)) continue;
      this.#signers.set(id, signer);
      this.#parts.onTold(id);
    }
    if (this.#authorities === undefined || !sameList(this.#authorities, authorities)) {
      this.#authorities = authorities;
      this.#tellAll();
    }
    this.#tellNew(changes);
    this.#knownUntil = began;
    this.#lookedAt = databaseNow;
  }

  #compareClocks(began: number, databaseNow: number): void {
    const ended = this.#parts.clock.now().getTime();
    this.#skewed = databaseNow < began - SKEW_MS || databaseNow > ended + SKEW_MS;
    if (!this.#skewed) this.#offset = ended - performance.now();
  }

  #tellNew(changes: readonly { caId: number; serial: Uint8Array; changedAt: Date }[]): void {
    const seen = new Map<string, number>();
    const fresh = new Map<number, Uint8Array[]>();
    const counts = new Map<number, number>();
    for (const { caId, serial, changedAt } of changes) {
      const name = `${caId}/${toHex(serial)}`;
      seen.set(name, changedAt.getTime());
      counts.set(caId, (counts.get(caId) ?? 0) + 1);
      if (this.#seen.get(name) !== changedAt.getTime()) fresh.set(caId, [...(fresh.get(caId) ?? []), serial]);
    }
    this.#seen = seen;
    for (const [caId, serials] of fresh) {
      // Where there were more than could be read, some that are new were not.
      if ((counts.get(caId) ?? 0) >= ONE_BY_ONE) this.#parts.onTold(caId);
      else for (const serial of serials) this.#parts.onTold(caId, serial);
    }
  }

  #hear(payload: string): void {
    const [, ca, serial] = /^(\d+)\/(\*|(?:[0-9a-f]{2})+)$/.exec(payload) ?? [];
    if (ca === undefined || serial === undefined) this.#tellAll();
    else this.#parts.onTold(Number(ca), serial === '*' ? undefined : fromHex(serial));
  }

  #tellAll(): void {
    for (const { id } of this.#authorities ?? []) this.#parts.onTold(id);
  }
}

function sameList(before: readonly CertificationAuthority[], now: readonly CertificationAuthority[]): boolean {
  return before.length === now.length && before.every((one, i) => {
    const other = now[i];
    return other !== undefined && equalBytes(one.certificate, other.certificate) && factsOf(one) === factsOf(other);
  });
}

const factsOf = ({ id, state, parentId, keyId, revocation }: CertificationAuthority): string => JSON.stringify([id, state, parentId, keyId !== undefined, revocation]);
