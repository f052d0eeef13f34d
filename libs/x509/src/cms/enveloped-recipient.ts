import { constants, createCipheriv, diffieHellman, generateKeyPairSync, hash, type KeyObject, publicEncrypt } from 'node:crypto';
import { isPkiError, PkiError } from '@fleetroot/core';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { DerReader } from '../der/reader.ts';
import { bitString, contextTag, explicit, integer, nullValue, octetString, oid, sequence, tag, tlv } from '../der/writer.ts';
import type { DigestName } from '../key/algorithm.ts';
import { importPublicKey, publicKeyFacts } from '../key/public-key.ts';

/** A RecipientInfo (RFC 5652 section 6.2), DER, and the version that it has. */
interface RecipientInfo {
  readonly version: 0 | 3;
  readonly der: Uint8Array;
}

const MGF1 = '1.2.840.113549.1.1.8';
/**
 * RSAES-OAEP with SHA-256, also for MGF1; the empty label is left out (RFC 4055 section 4.1). The hashes have their NULL
 * (RFC 4055 section 2.1).
 */
const sha256Null = sequence(oid('2.16.840.1.101.3.4.2.1'), nullValue());
const OAEP = sequence(
  oid('1.2.840.113549.1.1.7'), sequence(explicit(0, sha256Null), explicit(1, sequence(oid(MGF1), sha256Null))),
);
/** id-aes256-wrap, parameters absent (RFC 3565). */
const AES_256_WRAP = sequence(oid('2.16.840.1.101.3.4.1.45'));
const WRAP_IV = Buffer.alloc(8, 0xa6);
const EC_PUBLIC_KEY = sequence(oid('1.2.840.10045.2.1'));

/** By curve: the hash of the key derivation, and dhSinglePass-stdDH-sha*kdf-scheme (RFC 5753). */
const agreements: Readonly<Record<string, { readonly digest: DigestName; readonly scheme: string }>> = {
  prime256v1: { digest: 'sha256', scheme: '1.3.132.1.11.1' },
  secp384r1: { digest: 'sha384', scheme: '1.3.132.1.11.2' },
  secp521r1: { digest: 'sha512', scheme: '1.3.132.1.11.3' },
};

/**
 * Why nothing can be encrypted to this certificate by CMS; undefined: something can. RSA keys of at least 2048 bits take a
 * transported key, those on P-256, P-384 and P-521 an agreed one; a keyUsage must allow it (RFC 5652 sections 6.2.1 and 6.2.2).
 */
export function recipientFault(certificate: ParsedCertificate): string | undefined {
  const use = usageFor(certificate);
  if (use.fault !== undefined) return use.fault;
  const { keyUsage } = certificate;
  return keyUsage === undefined || keyUsage.includes(use.keyUsage) ? undefined : `its keyUsage lacks ${use.keyUsage}`;
}

type Use = { readonly keyUsage: string; readonly fault?: undefined } | { readonly fault: string };

function usageFor({ spkiDer }: ParsedCertificate): Use {
  try {
    const { keyType } = publicKeyFacts(spkiDer, 'certificate.malformed');
    if (keyType === 'ed25519') return { fault: 'an Ed25519 key signs, and nothing can be encrypted to it' };
    if (keyType !== 'rsa') return { keyUsage: 'keyAgreement' };
    return importPublicKey(spkiDer).asymmetricKeyType === 'rsa' ? { keyUsage: 'keyEncipherment' }
      : { fault: 'an RSASSA-PSS key signs, and nothing can be encrypted to it' };
  } catch (error) {
    if (isPkiError(error)) return { fault: error.message };
    throw error;
  }
}

/**
 * The content-encryption key for one recipient, who is named by issuer and serial number.
 * @throws PkiError `key.recipient-refused`
 */
export function recipientInfo(recipient: ParsedCertificate, contentKey: Uint8Array): RecipientInfo {
  const fault = recipientFault(recipient);
  if (fault !== undefined) throw new PkiError('key.recipient-refused', fault);
  const key = importPublicKey(recipient.spkiDer);
  const named = sequence(recipient.issuerDer, integer(recipient.serial));
  return key.asymmetricKeyType === 'rsa' ? transported(key, named, contentKey) : agreed(key, named, contentKey);
}

/** KeyTransRecipientInfo, RFC 5652 section 6.2.1. */
function transported(key: KeyObject, named: Uint8Array, contentKey: Uint8Array): RecipientInfo {
  const encrypted = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, contentKey);
  return { version: 0, der: sequence(integer(0), named, OAEP, octetString(encrypted)) };
}

/** KeyAgreeRecipientInfo, RFC 5652 section 6.2.2, with a key of our own that is used once (RFC 5753: ephemeral-static). */
function agreed(key: KeyObject, named: Uint8Array, contentKey: Uint8Array): RecipientInfo {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const agreement = agreements[curve];
  if (agreement === undefined) throw new PkiError('key.recipient-refused', 'the curve of its key is none of P-256, P-384, P-521');
  const own = generateKeyPairSync('ec', { namedCurve: curve });
  const secret = diffieHellman({ privateKey: own.privateKey, publicKey: key });
  const wrappingKey = derive(agreement.digest, secret);
  try {
    const wrap = createCipheriv('id-aes256-wrap', wrappingKey, WRAP_IV);
    const wrapped = Buffer.concat([wrap.update(contentKey), wrap.final()]);
    const der = tlv(
      contextTag(1, true), integer(3),
      explicit(0, tlv(contextTag(1, true), EC_PUBLIC_KEY, bitString(pointOf(own.publicKey)))),
      sequence(oid(agreement.scheme), AES_256_WRAP),
      sequence(sequence(named, octetString(wrapped))),
    );
    return { version: 3, der };
  } finally {
    secret.fill(0);
    wrappingKey.fill(0);
  }
}

/**
 * The key that wraps, of 32 octets: hash of secret, counter 1 and ECC-CMS-SharedInfo (RFC 5753), cut to length.
 * No hash here is shorter, so that one round is enough.
 */
function derive(digest: DigestName, secret: Uint8Array): Buffer {
  const bits = Uint8Array.of(0, 0, 1, 0);
  const shared = sequence(AES_256_WRAP, explicit(2, octetString(bits)));
  const input = Buffer.concat([secret, Uint8Array.of(0, 0, 0, 1), shared]);
  const output = hash(digest, input, 'buffer');
  input.fill(0);
  return output.subarray(0, 32);
}

function pointOf(publicKey: KeyObject): Uint8Array {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const reader = new DerReader(spki, 'internal').enter(tag.sequence, 'subjectPublicKeyInfo');
  reader.element('algorithm');
  return reader.bitString('subjectPublicKey');
}
