import { createHash, randomBytes } from 'node:crypto';
import type { PkiError } from '@fleetroot/core';
import type { Signer } from '@fleetroot/hsm';
import { verifySignature } from '@fleetroot/x509';

interface Failure {
  readonly error: PkiError;
  /** Whether a signature may exist for any message of the call. */
  readonly attempted: number;
  /** When, by performance.now(). */
  readonly at: number;
}

/** Calls of `sign` without a pause, several at a time, each with messages of its own, by a P-256 key. */
export class SigningLoad {
  readonly failures: Failure[] = [];
  signed = 0;
  /** Of signatures that do not verify. */
  wrong = 0;
  calls = 0;
  /** Of the calls that succeeded, in milliseconds. */
  longest = 0;
  /** When a call last succeeded, by performance.now(). */
  lastSuccess = 0;
  readonly #digests: string[] = [];
  readonly #signer: Signer;
  readonly #key: { readonly keyId: Uint8Array; readonly spkiDer: Uint8Array };
  readonly #messagesInCall: number;
  readonly #lanes: Promise<void>[];
  #stopped = false;

  constructor(signer: Signer, key: { keyId: Uint8Array; spkiDer: Uint8Array }, calls = 6, messagesInCall = 40) {
    this.#signer = signer;
    this.#key = key;
    this.#messagesInCall = messagesInCall;
    this.#lanes = Array.from({ length: calls }, () => this.#lane());
  }

  /** SHA-256 of every message that was handed to `sign`, in hex. */
  get digests(): readonly string[] {
    return this.#digests;
  }

  /** Starts no further call and waits for those that are open. */
  async stop(): Promise<this> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
    return this;
  }

  async #lane(): Promise<void> {
    while (!this.#stopped) {
      const tbs = Array.from({ length: this.#messagesInCall }, () => new Uint8Array(randomBytes(300)));
      this.#digests.push(...tbs.map((message) => createHash('sha256').update(message).digest('hex')));
      this.calls++;
      const began = performance.now();
      try {
        const signatures = await this.#signer.sign(this.#key.keyId, 'ecdsa-sha256', tbs);
        this.lastSuccess = performance.now();
        this.longest = Math.max(this.longest, this.lastSuccess - began);
        this.signed += signatures.length;
        this.wrong += tbs.filter((message, i) => !verifySignature(this.#key.spkiDer, 'ecdsa-sha256', message, signatures[i] ?? new Uint8Array())).length;
      } catch (error) {
        this.failures.push({ error: error as PkiError, attempted: Number((error as PkiError).data['attempted']), at: performance.now() });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}
