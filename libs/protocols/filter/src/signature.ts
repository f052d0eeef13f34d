import { createPublicKey } from 'node:crypto';
import { newOctets, PkiError } from '@fleetroot/core';
import { der, DerReader } from '@fleetroot/x509';

const CURVE_OCTETS: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48, secp521r1: 66 };

/**
 * An ECDSA signature as the file has it: r and s, each as long as the order of the curve, so that a small reader needs no
 * parser of DER.
 * @param signature Ecdsa-Sig-Value (RFC 3279)
 */
export function rawEcdsaSignature(signature: Uint8Array, issuerSpki: Uint8Array): Uint8Array {
  const { asymmetricKeyDetails } = createPublicKey({ key: Buffer.from(issuerSpki), format: 'der', type: 'spki' });
  const octets = CURVE_OCTETS[asymmetricKeyDetails?.namedCurve ?? ''];
  if (octets === undefined) throw new PkiError('internal', 'the key of the CA is on a curve that filters know nothing of');
  const raw = newOctets(2 * octets);
  const reader = new DerReader(signature, 'hsm.signature-invalid').enter(der.tag.sequence, 'signature');
  [reader.integer('r'), reader.integer('s')].forEach((integer, place) => {
    // One octet more than the order has where the highest bit is set.
    const digits = integer[0] === 0 ? integer.subarray(1) : integer;
    if (digits.length > octets) throw new PkiError('hsm.signature-invalid', 'an ECDSA signature is longer than its curve allows');
    raw.set(digits, (place + 1) * octets - digits.length);
  });
  return raw;
}
