import { createHmac, hash, randomBytes } from 'node:crypto';
import { id_data } from '@peculiar/asn1-cms';
import { contextTag, explicit, integer, nullValue, octetString, oid, sequence, setOf, tag, tlv } from '../der/writer.ts';
import { PASSWORD_ROUNDS } from '../key/pkcs8-encryption.ts';
import { macKey } from './mac-key.ts';

const BAGS = '1.2.840.113549.1.12.10.1';
const PKCS8_SHROUDED_KEY_BAG = `${BAGS}.2`;
const CERT_BAG = `${BAGS}.3`;
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21';
const SHA_256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nullValue());
const SALT = 16;

export interface PfxFields {
  /** EncryptedPrivateKeyInfo, DER, under the same password. */
  readonly encryptedKey: Uint8Array;
  /** Of the key, DER. */
  readonly certificate: Uint8Array;
  /** From its issuer upwards, DER. */
  readonly chain: readonly Uint8Array[];
  /** What programs show: the name of the entry. */
  readonly name: string;
  /** Printable ASCII: programs differ in how they encode anything else. */
  readonly password: string;
  readonly macRounds?: number;
}

/**
 * PFX (RFC 7292), DER: a pkcs8ShroudedKeyBag, and the certificates in clear since they are public. Integrity by
 * HMAC-SHA-256, whose key is derived from the password in as many rounds as the key's: who guesses takes the cheaper way.
 */
export async function encodePfx(fields: PfxFields): Promise<Uint8Array> {
  const { certificate, chain, name, encryptedKey } = fields;
  const about = setOf(
    attribute(FRIENDLY_NAME, tlv(0x1e, Buffer.from(name, 'utf16le').swap16())),
    attribute(LOCAL_KEY_ID, octetString(hash('sha256', certificate, 'buffer'))),
  );
  const keys = sequence(sequence(oid(PKCS8_SHROUDED_KEY_BAG), explicit(0, encryptedKey), about));
  const certificates = sequence(certificateBag(certificate, about), ...chain.map((above) => certificateBag(above)));
  const safe = sequence(data(keys), data(certificates));
  return sequence(integer(3), data(safe), await macData(safe, fields));
}

/** ContentInfo with id-data. */
const data = (content: Uint8Array): Uint8Array => sequence(oid(id_data), explicit(0, octetString(content)));

const attribute = (type: string, value: Uint8Array): Uint8Array => sequence(oid(type), tlv(tag.set, value));

function certificateBag(der: Uint8Array, attributes?: Uint8Array): Uint8Array {
  const bag = sequence(oid(X509_CERTIFICATE), tlv(contextTag(0, true), octetString(der)));
  return sequence(oid(CERT_BAG), explicit(0, bag), ...(attributes === undefined ? [] : [attributes]));
}

/** MacData (RFC 7292): over the content of authSafe. */
async function macData(safe: Uint8Array, { password, macRounds = PASSWORD_ROUNDS }: PfxFields): Promise<Uint8Array> {
  const salt = randomBytes(SALT);
  const key = await macKey(password, salt, macRounds);
  const mac = createHmac('sha256', key).update(safe).digest();
  key.fill(0);
  return sequence(sequence(SHA_256, octetString(mac)), octetString(salt), integer(macRounds));
}
