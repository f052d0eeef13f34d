import { createCipheriv, randomBytes } from 'node:crypto';
import { id_envelopedData } from '@peculiar/asn1-cms';
import type { ParsedCertificate } from '../certificate/certificate.ts';
import { contextTag, explicit, integer, octetString, oid, sequence, setOf, tlv } from '../der/writer.ts';
import { recipientInfo } from './enveloped-recipient.ts';

/** id-ct-KP-aKeyPackage (RFC 5958): the content is an AsymmetricKeyPackage. */
const KEY_PACKAGE = '2.16.840.1.101.2.1.2.78.5';
const AES_256_CBC = '2.16.840.1.101.3.4.1.42';

/**
 * A private key for one recipient alone: ContentInfo with an EnvelopedData (RFC 5652 section 6.1), DER, whose content is an
 * AsymmetricKeyPackage (RFC 5958) of one key. AES-256-CBC under a key that is drawn here, used once and overwritten. It
 * hides the key and does not prove who sent it: whoever opens it compares the key with the certificate that it belongs to.
 *
 * By our own writer, since the library would write the names of the recipient's issuer anew.
 * @param pkcs8 PrivateKeyInfo, DER; the caller overwrites it
 * @param recipient checked by the caller but for its key and key usage: validity, path and revocation are not looked at
 * @throws PkiError `key.recipient-refused` where nothing can be encrypted to this certificate
 */
export function envelopPrivateKey(pkcs8: Uint8Array, recipient: ParsedCertificate): Uint8Array {
  const contentKey = randomBytes(32);
  const content = sequence(pkcs8);
  try {
    const info = recipientInfo(recipient, contentKey);
    const iv = randomBytes(16);
    const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
    const encrypted = Buffer.concat([cipher.update(content), cipher.final()]);
    return sequence(oid(id_envelopedData), explicit(0, sequence(
      // RFC 5652 section 6.1: 0 where every RecipientInfo is version 0 and nothing optional is there, else 2.
      integer(info.version === 0 ? 0 : 2),
      setOf(info.der),
      sequence(
        oid(KEY_PACKAGE), sequence(oid(AES_256_CBC), octetString(iv)), tlv(contextTag(0, false), encrypted),
      ),
    )));
  } finally {
    contentKey.fill(0);
    content.fill(0);
  }
}
