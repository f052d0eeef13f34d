import { hash } from 'node:crypto';
import { toHex } from '@fleetroot/core';
import type { Findings } from './report.ts';

/** What the HSM was given to sign with CA keys, from the set-up of its token on. */
export interface HsmRecord {
  /** The input of each C_Sign in lower-case hex, and how often it came. */
  readonly signed: ReadonlyMap<string, number>;
  /** Inputs that are known to be self-tests of the signers. */
  readonly selfTests: ReadonlySet<string>;
  /** Log-ins: after each, every CA key is tried once. */
  readonly logins: number;
}

/** What stands before the digest in a DigestInfo by SHA-256, SHA-384 and SHA-512. */
const digestInfo = { sha256: '3031300d060960864801650304020105000420', sha384: '3041300d060960864801650304020205000430', sha512: '3051300d060960864801650304020305000440' } as const;
/** Statements that ceremonies signed about themselves (transcripts), and whoever tried a key by hand. */
const OTHERS = 16;

/** Strikes out of the HSM's record what the ledger knows (I2). */
export class SignatureAccount {
  readonly #left: Map<string, number>;
  readonly #record: HsmRecord;
  readonly #findings: Findings;

  constructor(record: HsmRecord, findings: Findings) {
    this.#record = record;
    this.#findings = findings;
    this.#left = new Map(record.signed);
    for (const [input, times] of record.signed) {
      if (times > 1) findings.breach('signature-once', `input ${input}`, `was signed ${times} times`);
    }
    findings.count('hsmSignatures', record.signed.size);
  }

  /** That `tbs` is on record, and must have been signed. */
  known(subject: () => string, tbs: Uint8Array): void {
    if (!this.maybe(tbs)) this.#findings.breach('signature-made', subject(), 'was not signed by this HSM, as far as its record goes');
  }

  /** That it is on record, and may have been signed elsewhere or before; true where it was signed here. */
  maybe(tbs: Uint8Array): boolean {
    return (['sha256', 'sha384', 'sha512'] as const).some((name) => this.#digest(name, hash(name, tbs, 'buffer'))) || this.#left.delete(toHex(tbs));
  }

  /** The same where only the SHA-256 of what may have been signed is on record. */
  maybeSha256(digest: Uint8Array): boolean {
    return this.#digest('sha256', digest);
  }

  #digest(name: keyof typeof digestInfo, digest: Uint8Array): boolean {
    // ECDSA signs the digest, RSA (PKCS #1 v1.5) the DigestInfo around it, Ed25519 the whole.
    return this.#left.delete(toHex(digest)) || this.#left.delete(digestInfo[name] + toHex(digest));
  }

  /**
   * @param lost signatures that may exist though nothing on record holds them
   * @param keys CA keys in the token
   */
  end(lost: number, keys: number): void {
    for (const input of this.#record.selfTests) this.#left.delete(input);
    const explained = lost + this.#record.logins * Math.max(0, keys - 1) + OTHERS;
    if (this.#left.size <= explained) return;
    const [first] = this.#left.keys();
    this.#findings.breach('signature-known', `input ${first ?? ''}`, `and ${this.#left.size - 1} more signatures are of nothing on record; ${explained} at most could be explained`);
  }
}
