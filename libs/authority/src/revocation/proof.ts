import { PkiError, toHex } from '@fleetroot/core';
import { parseName, readRequest, spkiSha256, verifyPossession } from '@fleetroot/x509';

/** What the subject of a proof says beside the key: no request for a certificate says it, so that none can be taken for a proof. */
export const COMPROMISE_PURPOSE = 'Fleetroot key compromise';

/**
 * A certification request (PKCS #10) that proves that whoever made it has the key, and that it was made to tell so: its
 * subject is O=`Fleetroot key compromise`, CN=the SHA-256 of the request's own SubjectPublicKeyInfo in hex, and its
 * signature verifies under that key.
 * @param input PEM, or base64 of the DER
 * @returns the SHA-256 of the key's SubjectPublicKeyInfo
 * @throws PkiError `revocation.proof-invalid`, or as `readRequest` and `verifyPossession`
 */
export function provenCompromise(input: string): { readonly publicKeySha256: Uint8Array; readonly der: Uint8Array } {
  const request = readRequest(input);
  const publicKeySha256 = spkiSha256(request.spkiDer);
  const wanted = [['organizationName', COMPROMISE_PURPOSE], ['commonName', toHex(publicKeySha256)]] as const;
  const parts = parseName(request.subjectDer, 'revocation.proof-invalid');
  const says = parts.length === wanted.length && wanted.every(([type, value], i) => parts[i]?.type === type && parts[i]?.value === value && parts[i]?.rdn === i);
  if (!says) {
    throw new PkiError('revocation.proof-invalid', `the subject of the request must be O=${COMPROMISE_PURPOSE}, CN=${toHex(publicKeySha256)} (the SHA-256 of its SubjectPublicKeyInfo), in this order`);
  }
  verifyPossession(request);
  return { publicKeySha256, der: request.der };
}
