import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { isPkiError } from '@fleetroot/core';
import { DerReader } from '../der/reader.ts';
import { integer, nullValue, octetString, oid, sequence, tag } from '../der/writer.ts';
import { octetKey } from './algorithm.ts';

const derive = promisify(pbkdf2);

const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';
const AES_256_CBC = '2.16.840.1.101.3.4.1.42';
const HMAC_SHA256 = sequence(oid('1.2.840.113549.2.9'), nullValue());

/** Rounds of PBKDF2-HMAC-SHA-256. Some 0.1 s of a processor; who guesses a password pays it for every guess. */
export const PASSWORD_ROUNDS = 600_000;
/** Where what is read asks for more, it is not of ours. */
const MAX_ROUNDS = 10_000_000;
const SALT = 16;

/** A key that was derived from a password once, for the keys of one batch. `key` is to be overwritten after use. */
export interface PasswordKey {
  readonly salt: Uint8Array;
  readonly rounds: number;
  readonly key: Buffer;
}

/** PBKDF2 (RFC 8018) with HMAC-SHA-256 and a new salt; off the event loop. */
export async function passwordKey(password: string, rounds: number = PASSWORD_ROUNDS): Promise<PasswordKey> {
  const salt = randomBytes(SALT);
  return { salt, rounds, key: await derive(password, salt, rounds, 32, 'sha256') };
}

/**
 * EncryptedPrivateKeyInfo (RFC 5958), DER, by PBES2 (RFC 8018): AES-256-CBC with an IV of its own. Keys under one
 * `PasswordKey` share salt and rounds: who finds the password of one has that of all of them in any case.
 */
export function encryptPrivateKey(pkcs8: Uint8Array, { salt, rounds, key }: PasswordKey): Uint8Array {
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return sequence(
    sequence(oid(PBES2), sequence(
      sequence(oid(PBKDF2), sequence(octetString(salt), integer(rounds), HMAC_SHA256)),
      sequence(oid(AES_256_CBC), octetString(iv)),
    )),
    octetString(Buffer.concat([cipher.update(pkcs8), cipher.final()])),
  );
}

/**
 * The private key of what `encryptPrivateKey` wrote; undefined where the password is another.
 * @throws PkiError `internal` where it is not of that form
 */
export async function openPrivateKey(encrypted: Uint8Array, password: string): Promise<KeyObject | undefined> {
  const { salt, rounds, iv, content } = parse(encrypted);
  const key = await derive(password, salt, rounds, 32, 'sha256');
  let pkcs8: Buffer | undefined;
  try {
    const decipher = createDecipheriv('aes-256-cbc', key, iv);
    pkcs8 = Buffer.concat([decipher.update(content), decipher.final()]);
    return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  } catch (error) {
    if (isPkiError(error)) throw error;
    // Wrong padding, or, by chance, right padding around what is no key.
    return undefined;
  } finally {
    key.fill(0);
    pkcs8?.fill(0);
  }
}

interface Encrypted {
  readonly salt: Uint8Array;
  readonly rounds: number;
  readonly iv: Uint8Array;
  readonly content: Uint8Array;
}

function parse(encrypted: Uint8Array): Encrypted {
  const whole = new DerReader(encrypted, 'internal').enter(tag.sequence, 'encryptedPrivateKeyInfo');
  const algorithm = whole.enter(tag.sequence, 'encryptionAlgorithm');
  if (algorithm.oid('encryptionAlgorithm') !== PBES2) algorithm.fail('encryptionAlgorithm', 'is not PBES2');
  const parameters = algorithm.enter(tag.sequence, 'PBES2-params');
  const derivation = parameters.enter(tag.sequence, 'keyDerivationFunc');
  if (derivation.oid('keyDerivationFunc') !== PBKDF2) derivation.fail('keyDerivationFunc', 'is not PBKDF2');
  const pbkdf2Parameters = derivation.enter(tag.sequence, 'PBKDF2-params');
  const salt = pbkdf2Parameters.value(tag.octetString, 'salt');
  const rounds = pbkdf2Parameters.smallInteger('iterationCount');
  if (rounds < 1 || rounds > MAX_ROUNDS) pbkdf2Parameters.fail('iterationCount', 'is not one of ours');
  if (octetKey(pbkdf2Parameters.element('prf')) !== octetKey(HMAC_SHA256)) pbkdf2Parameters.fail('prf', 'is not HMAC-SHA-256');
  const scheme = parameters.enter(tag.sequence, 'encryptionScheme');
  if (scheme.oid('encryptionScheme') !== AES_256_CBC) scheme.fail('encryptionScheme', 'is not AES-256-CBC');
  return { salt, rounds, iv: scheme.value(tag.octetString, 'iv'), content: whole.value(tag.octetString, 'encryptedData') };
}
