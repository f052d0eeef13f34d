import type { CertificateStatus } from '@fleetroot/authority';
import { Lru } from '@fleetroot/core';
import type { SignedAnswer } from './reply.ts';
import type { Told } from './told.ts';

export interface Remembered {
  readonly caId: number;
  /** By `toldName`. */
  readonly name: string;
  /** With what its CA does to it. Never of a serial that is not on record. */
  readonly status: CertificateStatus;
  /** When the ledger was asked, in Unix milliseconds. */
  readonly readAt: number;
  /** By `Told.now`, before the ledger was asked. */
  readonly moment: number;
  /** Absent where only nonces were asked for so far. */
  readonly answer?: SignedAnswer;
}

/** What an entry takes beside the octets of its answer: measured, and rounded up. */
const OVERHEAD = 1000;

/**
 * What was found out, by CertID, within so many octets: what was not asked for longest leaves first. An entry that was
 * told of is not taken for true any more, but stays: where nothing has changed, its answer still holds.
 */
export class AnswerMemory {
  readonly #told: Told;
  readonly #entries: Lru<string, Remembered>;

  constructor(limit: number, told: Told) {
    this.#told = told;
    this.#entries = new Lru(limit, octetsOf);
  }

  get octets(): number {
    return this.#entries.weight;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** undefined: nothing, or nothing that is known to be true still. */
  get(certId: string): Remembered | undefined {
    const found = this.#entries.get(certId);
    return found === undefined || this.#told.since(found.moment, found.caId, found.name) ? undefined : found;
  }

  /** Also what is not known to be true any more. */
  held(certId: string): Remembered | undefined {
    return this.#entries.peek(certId);
  }

  /** Not where it was told of since it was read: what was read then may be wrong now. */
  put(certId: string, entry: Remembered): void {
    if (!this.#told.since(entry.moment, entry.caId, entry.name)) this.#entries.set(certId, entry);
  }
}

const octetsOf = (certId: string, { answer }: Remembered): number => OVERHEAD + certId.length + (answer?.der.length ?? 0);
