import { type Clock, PkiError, type RandomBytes, toHex } from '@fleetroot/core';
import type { CeremonyFolder } from './folder.ts';
import type { IntentRecord } from './record.ts';

export interface IntentRequest {
  /** What the intent is for: it has one at a time. */
  readonly name: string;
  /** SHA-256 of all else that fixes the object: where it changes, the intent is drawn anew. */
  readonly basis: string;
  /** How long the object lives, where that is short: an intent that is older serves nobody. */
  readonly lifetimeMs?: number;
  /** Of a CRL: its number is greater than this one. */
  readonly numberAfter?: bigint;
}

/** What unfinished ceremonies have begun. Several may wait for approvals at once: each finishes its own. */
export class Intents {
  readonly #folder: CeremonyFolder;
  readonly #clock: Clock;
  readonly #random: RandomBytes;
  readonly #byName: Map<string, IntentRecord>;

  constructor(folder: CeremonyFolder, clock: Clock, random: RandomBytes) {
    this.#folder = folder;
    this.#clock = clock;
    this.#random = random;
    this.#byName = new Map(folder.intents().map((intent) => [intent.name, intent]));
  }

  /**
   * What was begun under this name on the same basis, or what begins now; on disk on return.
   * @throws PkiError `clock.skew` where the clock is behind what was begun
   */
  draw(request: IntentRequest): IntentRecord {
    const begun = this.#byName.get(request.name);
    const now = this.#clock.now().getTime();
    if (begun?.basis === request.basis && now < Date.parse(begun.notBefore) + (request.lifetimeMs ?? Infinity)) {
      if (Date.parse(begun.notBefore) > now) {
        throw new PkiError('clock.skew', `${request.name} was prepared at ${begun.notBefore}, which is later than this clock says: set the clock right`);
      }
      return begun;
    }
    const intent: IntentRecord = {
      name: request.name, basis: request.basis, keyId: toHex(this.#random(20)), serial: toHex(positive(this.#random(16))),
      notBefore: new Date(Math.floor(now / 1000) * 1000).toISOString(),
      ...(request.numberAfter === undefined ? {} : { number: String(numberAfter(request.numberAfter, begun, now)) }),
    };
    this.#byName.set(intent.name, intent);
    this.#folder.writeIntents([...this.#byName.values()]);
    return intent;
  }

  finish(names: readonly string[]): void {
    for (const name of names) this.#byName.delete(name);
    this.#folder.writeIntents([...this.#byName.values()]);
  }
}

/** Greater than any before it, one that was begun and dropped included: that one may have been signed (I13). */
function numberAfter(previous: bigint, begun: IntentRecord | undefined, now: number): bigint {
  return [previous + 1n, BigInt(begun?.number ?? 0) + 1n, BigInt(now)].reduce((a, b) => (a > b ? a : b));
}

/** Positive and without a leading zero octet, so that the number is as long as it was drawn. */
function positive(drawn: Uint8Array): Uint8Array {
  const serial = Uint8Array.from(drawn);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}
