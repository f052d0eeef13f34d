import { Lru, toHex } from '@fleetroot/core';
import { LookUps } from './look-ups.ts';
import type { ClientLedger, ClientRecord } from './ports.ts';
import type { Presented } from './presented.ts';

/** How long what was read is believed where nobody says otherwise, in milliseconds; that nothing is on record much shorter. */
const BELIEVED_MS = 30_000;
const UNKNOWN_BELIEVED_MS = 2_000;
/** Readings of one certificate that are told to be old while they are made, before it is given up. */
const MOST_READINGS = 3;

/** What the ledger said of a certificate. */
export interface ReadStatus {
  /** undefined: not on record. */
  readonly record: ClientRecord | undefined;
  readonly keySha256: Uint8Array;
  /** Of `performance.now`. */
  readonly until: number;
  /** Whether nothing was told since. */
  alive: boolean;
}

interface Reading {
  readonly status: Promise<ReadStatus>;
  readonly keySha256: Uint8Array;
  /** A change was told while it was under way: whether it is in what was read nobody knows. */
  told: boolean;
}

/**
 * What is known of the certificates that were presented lately. Whatever a change is told of is forgotten, and a reading
 * that was under way meanwhile is never kept.
 */
export class StatusMemory {
  readonly #lookUps: LookUps;
  readonly #statuses: Lru<string, ReadStatus>;
  readonly #readings = new Map<string, Reading>();

  constructor(ledger: Pick<ClientLedger, 'clients'>, limit: number, deadlineMs: number) {
    this.#lookUps = new LookUps(ledger, deadlineMs);
    this.#statuses = new Lru(limit);
  }

  get size(): number {
    return this.#statuses.size;
  }

  /** Questions to the ledger so far. */
  get asked(): number {
    return this.#lookUps.asked;
  }

  /** What is known, and may be believed at `now` (of `performance.now`). */
  recall({ caId, serialHex }: Presented, now: number): ReadStatus | undefined {
    const status = this.#statuses.get(nameOf(caId, serialHex));
    return status !== undefined && now < status.until ? status : undefined;
  }

  /**
   * What the ledger says; one question for all who ask at once.
   * @returns undefined where changes were told during every reading
   * @throws PkiError `store.unavailable`
   */
  async read(presented: Presented): Promise<ReadStatus | undefined> {
    const name = nameOf(presented.caId, presented.serialHex);
    for (let readings = 0; readings < MOST_READINGS; readings++) {
      const known = this.#readings.get(name);
      const status = await (known === undefined || known.told ? this.#begin(name, presented) : known).status;
      if (status.alive) return status;
    }
    return undefined;
  }

  #begin(name: string, { caId, serial, keySha256 }: Presented): Reading {
    const began = performance.now();
    const reading: Reading = {
      told: false, keySha256,
      status: this.#lookUps.find({ caId, serial }).then((record) => {
        const status = { record, keySha256, until: began + (record === undefined ? UNKNOWN_BELIEVED_MS : BELIEVED_MS), alive: !reading.told };
        if (status.alive) this.#statuses.set(name, status);
        return status;
      }).finally(() => {
        if (this.#readings.get(name) === reading) this.#readings.delete(name);
      }),
    };
    this.#readings.set(name, reading);
    return reading;
  }

  /** The certificate's status has changed. */
  forget(caId: number, serialHex: string): void {
    const name = nameOf(caId, serialHex);
    this.#drop(name, this.#statuses.peek(name));
    const reading = this.#readings.get(name);
    if (reading !== undefined) reading.told = true;
  }

  /** As `forget`, of whatever the CA has issued. */
  forgetCa(caId: number): void {
    this.#forgetThose((name) => name.startsWith(`${caId}/`));
  }

  /** As `forget`, of whatever has one of these keys; in hex. */
  forgetKeys(keys: ReadonlySet<string>): void {
    if (keys.size > 0) this.#forgetThose((_, { keySha256 }) => keys.has(toHex(keySha256)));
  }

  forgetAll(): void {
    this.#forgetThose(() => true);
  }

  #forgetThose(match: (name: string, of: { readonly keySha256: Uint8Array }) => boolean): void {
    for (const [name, status] of this.#statuses.entries()) if (match(name, status)) this.#drop(name, status);
    for (const [name, reading] of this.#readings) if (match(name, reading)) reading.told = true;
  }

  #drop(name: string, status: ReadStatus | undefined): void {
    if (status !== undefined) status.alive = false;
    this.#statuses.delete(name);
  }
}

const nameOf = (caId: number, serialHex: string): string => `${caId}/${serialHex}`;
