import { createPublicKey, type JsonWebKeyInput, type KeyObject } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import pkcs11, { type Handle, type PKCS11 } from 'pkcs11js';
import type { KeyShape } from './mechanism.ts';

/** CKK_EC_EDWARDS, PKCS #11 version 3.0; pkcs11js has no name for it. */
const CKK_EC_EDWARDS = 0x40;

interface Curve {
  readonly name: 'P-256' | 'P-384' | 'P-521' | 'Ed25519';
  readonly orderOctets: number;
  readonly bits: number;
}

/** CKA_EC_PARAMS in hex. Ed25519 goes by its OID (RFC 8410) or by the curve's name, as SoftHSM has it. */
const CURVES = new Map<string, Curve>([
  ['06082a8648ce3d030107', { name: 'P-256', orderOctets: 32, bits: 256 }],
  ['06052b81040022', { name: 'P-384', orderOctets: 48, bits: 384 }],
  ['06052b81040023', { name: 'P-521', orderOctets: 66, bits: 521 }],
  ['06032b6570', { name: 'Ed25519', orderOctets: 32, bits: 255 }],
  ['130c656477617264733235353139', { name: 'Ed25519', orderOctets: 32, bits: 255 }],
]);

/** The shape of the key behind an SPKI. */
export function shapeOf(key: KeyObject): KeyShape {
  const kind = key.asymmetricKeyType;
  if (kind === 'rsa' || kind === 'rsa-pss') return { family: 'rsa', orderOctets: 0, bits: key.asymmetricKeyDetails?.modulusLength ?? 0 };
  if (kind === 'ed25519') return { family: 'ed25519', orderOctets: 32, bits: 255 };
  const jwk = key.export({ format: 'jwk' });
  const curve = [...CURVES.values()].find(({ name }) => name === jwk.crv);
  if (curve === undefined) throw new PkiError('hsm.mechanism-missing', `keys of type ${kind ?? 'unknown'} are not supported`);
  return { family: 'ec', orderOctets: curve.orderOctets, bits: curve.bits };
}

/**
 * The public key object `handle` of the token.
 * @throws PkiError `hsm.mechanism-missing` for a type we do not know; `hsm.key-mismatch` for values that make no public key
 */
export function readPublicKey(lib: PKCS11, session: Handle, handle: Handle): KeyObject {
  const read = (type: number): Buffer => {
    const [attribute] = lib.C_GetAttributeValue(session, handle, [{ type }]);
    if (attribute === undefined) throw new PkiError('hsm.unavailable', 'the token gave no value of an attribute');
    return attribute.value;
  };
  const keyType = littleEndian(read(pkcs11.CKA_KEY_TYPE));
  if (keyType === pkcs11.CKK_RSA) {
    return fromJwk({ kty: 'RSA', n: unsigned(read(pkcs11.CKA_MODULUS)), e: unsigned(read(pkcs11.CKA_PUBLIC_EXPONENT)) });
  }
  if (keyType !== pkcs11.CKK_EC && keyType !== CKK_EC_EDWARDS) {
    throw new PkiError('hsm.mechanism-missing', `keys of CKA_KEY_TYPE ${keyType} are not supported`);
  }
  return ecKey(read(pkcs11.CKA_EC_PARAMS), read(pkcs11.CKA_EC_POINT));
}

function ecKey(parameters: Buffer, wrapped: Buffer): KeyObject {
  const curve = CURVES.get(parameters.toString('hex'));
  if (curve === undefined) throw new PkiError('hsm.mechanism-missing', 'the token holds a key on a curve that is not supported');
  const point = unwrap(wrapped, curve);
  if (curve.name === 'Ed25519') {
    return fromJwk({ kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') });
  }
  const half = (point.length - 1) / 2;
  return fromJwk({
    kty: 'EC', crv: curve.name,
    x: point.subarray(1, 1 + half).toString('base64url'), y: point.subarray(1 + half).toString('base64url'),
  });
}

function fromJwk(key: JsonWebKeyInput['key']): KeyObject {
  try {
    return createPublicKey({ format: 'jwk', key });
  } catch (cause) {
    throw new PkiError('hsm.key-mismatch', 'the token holds a public key object that is no public key', { cause });
  }
}

/** CKA_EC_POINT is the DER of an OCTET STRING with the point; some tokens give the bare point. */
function unwrap(value: Buffer, curve: Curve): Buffer {
  const expected = curve.name === 'Ed25519' ? 32 : 2 * curve.orderOctets + 1;
  const point = value.subarray(value.length - expected);
  const header = value.subarray(0, value.length - expected).toString('hex');
  const length = expected.toString(16).padStart(2, '0');
  if (point.length === expected && ['', `04${length}`, `0481${length}`].includes(header)) return point;
  throw new PkiError('hsm.mechanism-missing', 'the token gave a public point in a form that is not supported');
}

const unsigned = (value: Buffer): string => value.subarray(value.findIndex((octet) => octet !== 0)).toString('base64url');

/** A CK_ULONG attribute as the platform stores it. */
const littleEndian = (value: Buffer): number => value.readUIntLE(0, Math.min(6, value.length));
