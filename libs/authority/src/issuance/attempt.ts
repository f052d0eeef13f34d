import { type ErrorCode, isPkiError, type PkiError } from '@fleetroot/core';
import type { CertificationAuthority } from '../ports/authorities.ts';
import type { FailedItem } from '../ports/batches.ts';
import type { ClaimedChunk } from '../ports/issuance.ts';

/** One attempt at one chunk: what is known so far, for whoever must end it. */
export class Attempt {
  readonly chunk: ClaimedChunk;
  /** Of `performance.now`. */
  readonly began = performance.now();
  /** Who signs; undefined: it is not known yet. */
  authority: CertificationAuthority | undefined;
  /** Of `performance.now`: when the CAs were read that it was resolved from; undefined: it could not be. */
  asOf: number | undefined;
  failed: FailedItem[] = [];
  issued = 0;
  intentId: bigint | undefined;
  /** Places of the items that the HSM was given, or may have been; undefined: it was not asked for a signature. */
  given: readonly number[] | undefined;
  /** The error by which the HSM broke the attempt off, where it may be back in a moment. */
  interruption: unknown;

  constructor(chunk: ClaimedChunk) {
    this.chunk = chunk;
  }

  /** What is known of the CAs may be from before the attempt began. */
  get mayKnowOld(): boolean {
    return this.asOf === undefined || this.asOf < this.began;
  }

  get mayBeSigned(): boolean {
    return this.given !== undefined;
  }

  /** Places of the chunk for which no signature can exist. */
  get untouched(): readonly number[] {
    const given = new Set(this.given);
    return Array.from({ length: this.chunk.items }, (_, i) => this.chunk.first + i).filter((place) => !given.has(place));
  }

  /** A call to the HSM; an error with one of the codes is the attempt's interruption. Throws what the call throws. */
  async interruptedBy<T>(codes: readonly ErrorCode[], call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (isPkiError(error) && codes.includes(error.code)) this.interruption = error;
      throw error;
    }
  }

  /** Every item that registration let through fails for the same reason. */
  failAll(error: PkiError): void {
    this.failed = this.chunk.requests.map(({ ordinal }) => ({ ordinal, code: error.code, detail: error.message }));
  }
}
