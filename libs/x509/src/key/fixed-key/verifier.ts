import { hash, type KeyObject } from 'node:crypto';
import { isPkiError, PkiError, toHex } from '@fleetroot/core';
import { DerReader } from '../../der/reader.ts';
import { tag } from '../../der/writer.ts';
import type { SignatureAlgorithm } from '../algorithm.ts';
import { verifyWithKey } from '../signature.ts';
import { at } from './at.ts';
import { inverses, isOnCurve, order, type Point } from './curve.ts';
import { type Factors, LARGEST_GROUP, makeSums, type Sums } from './sums.ts';

/** What was signed, and the signature in its X.509 form (ECDSA as DER). */
export interface SignedMessage {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Verifies many signatures by one key. Its answers are those of `verifyWithKey`; P-256 with SHA-256 is computed here, by
 * tables of the key, in a quarter of the time. Only "verified" is believed to this computation, and one of 64 of those is
 * shown to OpenSSL as well; whatever it does not show to be verified is OpenSSL's to judge.
 *
 * Public data alone goes in: time and memory access depend on it.
 */
export interface FixedKeyVerifier {
  /** So many signatures are about a millisecond of work as things stand. */
  readonly atOnce: number;
  /**
   * The next step of making the tables, a millisecond or two of work; false: none is left. Until then, and for good where
   * the tables cannot be made or fail a check, OpenSSL verifies each signature.
   */
  prepareSome(): boolean;
  /**
   * Whether each signature is this key's.
   * @throws PkiError `internal`: OpenSSL refuses one that was computed to be right. None of its answers is to be trusted,
   *   and from now on OpenSSL answers alone
   */
  verifyMany(items: readonly SignedMessage[]): boolean[];
}

/** Fewer are verified sooner by OpenSSL. */
const SMALLEST_GROUP = 4;
/** Signatures that OpenSSL verifies in a millisecond. */
const OPENSSL_AT_ONCE = 8;
/** One of so many that were computed to be right is shown to OpenSSL. */
const SAMPLE = 64;

export function fixedKeyVerifier(publicKey: KeyObject, algorithm: SignatureAlgorithm): FixedKeyVerifier {
  return new TableVerifier(publicKey, algorithm, makeSums);
}

interface Scalars {
  /** Of the message, as a number. */
  readonly digest: bigint;
  readonly r: bigint;
  readonly s: bigint;
}

export class TableVerifier implements FixedKeyVerifier {
  readonly #publicKey: KeyObject;
  readonly #algorithm: SignatureAlgorithm;
  #making: Generator<undefined, Sums> | undefined;
  #sums: Sums | undefined;

  constructor(publicKey: KeyObject, algorithm: SignatureAlgorithm, make: (q: Point) => Generator<undefined, Sums>) {
    this.#publicKey = publicKey;
    this.#algorithm = algorithm;
    const point = algorithm === 'ecdsa-sha256' ? p256Point(publicKey) : undefined;
    this.#making = point === undefined ? undefined : make(point);
  }

  get atOnce(): number {
    return this.#sums === undefined ? OPENSSL_AT_ONCE : LARGEST_GROUP;
  }

  prepareSome(): boolean {
    if (this.#making === undefined) return false;
    try {
      const step = this.#making.next();
      if (step.done !== true) return true;
      this.#sums = step.value;
    } catch {
      // No relaxed SIMD, no fused multiplication, or not what OpenSSL finds: OpenSSL can do it alone.
    }
    this.#making = undefined;
    return false;
  }

  verifyMany(items: readonly SignedMessage[]): boolean[] {
    const verified: boolean[] = [];
    for (let from = 0; from < items.length; from += LARGEST_GROUP) {
      const group = items.slice(from, from + LARGEST_GROUP);
      const shown = this.#shown(group);
      for (const [i, item] of group.entries()) verified.push(shown[i] === true ? this.#confirmed(item) : this.#byOpenSsl(item));
    }
    return verified;
  }

  /** Which of at most LARGEST_GROUP signatures the tables show to be right. */
  #shown(items: readonly SignedMessage[]): readonly (boolean | undefined)[] {
    if (this.#sums === undefined || items.length < SMALLEST_GROUP) return [];
    const scalars = items.map(({ message, signature }) => readScalars(message, signature));
    const readable = scalars.filter((each) => each !== undefined);
    const found = this.#sums.xOf(factors(readable));
    if (found === undefined) return [];
    let next = 0;
    return scalars.map((each) => each !== undefined && at(found, next++) % order === each.r);
  }

  #confirmed(item: SignedMessage): boolean {
    // The last octets of signatures are as good as random.
    const sampled = (item.signature.at(-1) ?? 0) % SAMPLE === 0;
    if (sampled && !this.#byOpenSsl(item)) {
      this.#sums = undefined;
      throw new PkiError('internal', 'a signature that was computed to be right is not: OpenSSL refuses it; OpenSSL alone verifies from now on');
    }
    return true;
  }

  #byOpenSsl({ message, signature }: SignedMessage): boolean {
    return verifyWithKey(this.#publicKey, this.#algorithm, message, signature);
  }
}

/** u1 = e / s and u2 = r / s, with one inversion for all. */
function factors(scalars: readonly Scalars[]): Factors[] {
  if (scalars.length === 0) return [];
  const reciprocals = inverses(scalars.map(({ s }) => s), order);
  return scalars.map(({ digest, r }, i) => [(digest * at(reciprocals, i)) % order, (r * at(reciprocals, i)) % order]);
}

/** Undefined where the signature is not two INTEGERs of 1 .. order - 1 in DER: OpenSSL may say what it thinks of it. */
function readScalars(message: Uint8Array, signature: Uint8Array): Scalars | undefined {
  try {
    const outer = new DerReader(signature, 'hsm.signature-invalid');
    const reader = outer.enter(tag.sequence, 'the signature');
    outer.end('the signature');
    const [r, s] = [number(reader.integer('r')), number(reader.integer('s'))];
    reader.end('s');
    if (r === 0n || r >= order || s === 0n || s >= order) return undefined;
    return { digest: BigInt(`0x${hash('sha256', message, 'hex')}`), r, s };
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

const number = (octets: Uint8Array): bigint => BigInt(`0x${toHex(octets)}`);

/** Undefined: a key of another kind. */
function p256Point(key: KeyObject): Point | undefined {
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined;
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  const point = { x: number(Buffer.from(x, 'base64url')), y: number(Buffer.from(y, 'base64url')) };
  return isOnCurve(point) ? point : undefined;
}
