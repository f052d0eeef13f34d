import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { copyBytes, equalBytes, type ErrorCode, PkiError, sha256 } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { nullValue, oid, sequence, tag } from '../der/writer.ts';
import { algorithmIdentifier, octetKey, type SignatureAlgorithm } from './algorithm.ts';
import { weaknessOfModulus } from './weak-modulus.ts';

export type KeyType = 'p-256' | 'p-384' | 'p-521' | 'ed25519' | 'rsa';

export interface PublicKeyFacts {
  readonly keyType: KeyType;
  /** Size of the field (EC), of the modulus (RSA); 256 for Ed25519. */
  readonly bits: number;
  /** SubjectPublicKeyInfo as it came, byte for byte. */
  readonly spkiDer: Uint8Array;
}

interface KeyForm {
  readonly keyType: KeyType;
  readonly bits: number;
  /** What an issuer with such a key signs by default. */
  readonly signs: SignatureAlgorithm;
  /** Other algorithms that the key may sign with begin with one of these. */
  readonly family: readonly string[];
}

const EC_PUBLIC_KEY = '1.2.840.10045.2.1';
const RSASSA_PSS = '1.2.840.113549.1.1.10';
const ec = (curve: string): Uint8Array => sequence(oid(EC_PUBLIC_KEY), oid(curve));
const ecdsa = ['ecdsa-'];

/** Every AlgorithmIdentifier of a key that is accepted (RFC 5480, RFC 8410, RFC 4055 section 1.2). */
const forms = new Map<string, KeyForm>([
  [octetKey(ec('1.2.840.10045.3.1.7')), { keyType: 'p-256', bits: 256, signs: 'ecdsa-sha256', family: ecdsa }],
  [octetKey(ec('1.3.132.0.34')), { keyType: 'p-384', bits: 384, signs: 'ecdsa-sha384', family: ecdsa }],
  [octetKey(ec('1.3.132.0.35')), { keyType: 'p-521', bits: 521, signs: 'ecdsa-sha512', family: ecdsa }],
  [octetKey(sequence(oid('1.3.101.112'))), { keyType: 'ed25519', bits: 256, signs: 'ed25519', family: ['ed25519'] }],
  [
    octetKey(sequence(oid('1.2.840.113549.1.1.1'), nullValue())),
    { keyType: 'rsa', bits: 0, signs: 'rsa-sha256', family: ['rsa-'] },
  ],
  [octetKey(sequence(oid(RSASSA_PSS))), { keyType: 'rsa', bits: 0, signs: 'rsa-pss-sha256', family: ['rsa-pss-'] }],
  // A PSS key may be bound to one hash: its parameters are those of the signature.
  ...(['rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'] as const).map((signs): [string, KeyForm] => [
    octetKey(algorithmIdentifier(signs)), { keyType: 'rsa', bits: 0, signs, family: [signs] },
  ]),
]);

const refuse = (why: string): never => {
  throw new PkiError('request.key-refused', why);
};

/** Algorithm and key bits of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7). */
function openSpki(spkiDer: Uint8Array, code: ErrorCode): { form: KeyForm; key: Uint8Array } {
  const outer = new DerReader(spkiDer, code);
  const spki = outer.enter(tag.sequence, 'subjectPublicKeyInfo');
  outer.end('subjectPublicKeyInfo');
  const algorithm = spki.element('subjectPublicKeyInfo.algorithm', tag.sequence);
  const key = spki.bitString('subjectPublicKey');
  spki.end('subjectPublicKey');
  return { form: forms.get(octetKey(algorithm)) ?? explainRefusal(algorithm, code), key };
}

function explainRefusal(algorithm: Uint8Array, code: ErrorCode): never {
  const reader = new DerReader(algorithm, code).enter(tag.sequence, 'algorithm');
  if (reader.oid('algorithm') === EC_PUBLIC_KEY) {
    refuse(reader.peek() === tag.sequence ? 'EC keys must name their curve: explicit parameters are refused'
      : 'the curve is not one of P-256, P-384, P-521');
  }
  return refuse('the key is not an EC key on P-256, P-384 or P-521, an Ed25519 key or an RSA key');
}

/**
 * Facts of a public key, after checks that cost little: the form of the SubjectPublicKeyInfo, a named curve, a point of
 * the right length (compressed or not), an RSA modulus of 2048 to 8192 bits and an exponent of at least 65537, both odd,
 * and a modulus that is not easy to factor (`weaknessOfModulus`). Whether a point lies on its curve shows when the key is
 * first used.
 * @throws PkiError `code` where it is not well-formed; `request.key-refused` where it is weak or of another kind
 */
export const publicKeyFacts = (spkiDer: Uint8Array, code: ErrorCode): PublicKeyFacts => readPublicKey(spkiDer, code).facts;

/** The facts, and the algorithms it can sign by: begin with one of `family`. Throws as `publicKeyFacts`. */
export function readPublicKey(spkiDer: Uint8Array, code: ErrorCode): { readonly facts: PublicKeyFacts; readonly family: readonly string[] } {
  const { form, key } = openSpki(spkiDer, code);
  return { facts: factsOf(form, key, spkiDer, code), family: form.family };
}

function factsOf(form: KeyForm, key: Uint8Array, spkiDer: Uint8Array, code: ErrorCode): PublicKeyFacts {
  if (form.keyType === 'rsa') return { keyType: 'rsa', bits: rsaBits(key, code), spkiDer };
  if (form.keyType === 'ed25519') {
    if (key.length !== 32) refuse('an Ed25519 key has 32 octets');
  } else {
    checkPoint(key, (form.bits + 7) >> 3);
  }
  return { keyType: form.keyType, bits: form.bits, spkiDer };
}

/** Uncompressed: 04 X Y. Compressed: 02 or 03, X. Never the hybrid forms, nor the point at infinity. */
function checkPoint(point: Uint8Array, octets: number): void {
  const [kind] = point;
  const fits = kind === 4 ? point.length === 2 * octets + 1 : (kind === 2 || kind === 3) && point.length === octets + 1;
  if (!fits) refuse('the EC point is not of the form and length that its curve asks for');
}

function rsaBits(key: Uint8Array, code: ErrorCode): number {
  const outer = new DerReader(key, code);
  const reader = outer.enter(tag.sequence, 'RSAPublicKey');
  outer.end('RSAPublicKey');
  const modulus = reader.integer('modulus');
  const exponent = reader.integer('publicExponent');
  reader.end('publicExponent');
  const bits = bitLength(modulus);
  if (bits < 2048 || bits > 8192) refuse('an RSA key must have 2048 to 8192 bits');
  if (((modulus[modulus.length - 1] ?? 0) & 1) === 0) refuse('the RSA modulus is even');
  // A huge exponent makes every verification slow; 64 bits is what OpenSSL, too, lets through.
  const exponentBits = bitLength(exponent);
  if (exponentBits < 17 || exponentBits > 64 || ((exponent[exponent.length - 1] ?? 0) & 1) === 0) {
    refuse('the RSA public exponent must be odd, at least 65537 and at most 64 bits long');
  }
  const weakness = weaknessOfModulus(modulus);
  if (weakness !== undefined) refuse(`the RSA modulus ${weakness}`);
  return bits;
}

function bitLength(integer: Uint8Array): number {
  const magnitude = integer[0] === 0 ? integer.subarray(1) : integer;
  return magnitude.length === 0 ? 0 : magnitude.length * 8 - (Math.clz32(magnitude[0] ?? 0) - 24);
}

/** What an issuer with this key signs by default. @throws PkiError `request.key-refused` for other keys */
export const signatureAlgorithmFor = (spkiDer: Uint8Array): SignatureAlgorithm =>
  openSpki(spkiDer, 'request.key-refused').form.signs;

/** Whether a key of this SubjectPublicKeyInfo can make such a signature; false for a key that is not accepted. */
export function algorithmFitsKey(algorithm: SignatureAlgorithm, spkiDer: Uint8Array): boolean {
  try {
    return isOfFamily(algorithm, openSpki(spkiDer, 'request.key-refused').form.family);
  } catch {
    return false;
  }
}

export const isOfFamily = (algorithm: SignatureAlgorithm, family: readonly string[]): boolean =>
  family.some((prefix) => algorithm.startsWith(prefix));

let lastIdentified: { readonly spkiDer: Uint8Array; readonly identifier: Uint8Array } | undefined;

/**
 * Key identifier by method (1) of RFC 5280 section 4.2.1.2: SHA-1 of the key bits, without tag, length and unused bits. An
 * issuance asks twice for the same key, to build the certificate and to lint it: the last answer is kept.
 */
export function keyIdentifier(spkiDer: Uint8Array): Uint8Array {
  if (lastIdentified === undefined || !equalBytes(lastIdentified.spkiDer, spkiDer)) {
    // Copies: nobody may write to what is kept.
    lastIdentified = { spkiDer: copyBytes(spkiDer), identifier: identify(spkiDer) };
  }
  return copyBytes(lastIdentified.identifier);
}

function identify(spkiDer: Uint8Array): Uint8Array {
  const spki = new DerReader(spkiDer, 'request.malformed').enter(tag.sequence, 'subjectPublicKeyInfo');
  spki.element('subjectPublicKeyInfo.algorithm');
  return Buffer.from(hash('sha1', spki.bitString('subjectPublicKey'), 'latin1'), 'latin1');
}

/** SHA-256 of the SubjectPublicKeyInfo: the name of a key in the ledger. */
export const spkiSha256 = (spkiDer: Uint8Array): Uint8Array => sha256(spkiDer);

/**
 * The key for node:crypto. Import from SPKI was the fastest of the ways that Node has (JWK and raw took longer).
 * @throws PkiError `request.key-refused`: OpenSSL refuses a point off its curve here
 */
export function importPublicKey(spkiDer: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: spkiDer as Buffer, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new PkiError('request.key-refused', 'the public key is not valid: is its point on the curve?', { cause });
  }
}
