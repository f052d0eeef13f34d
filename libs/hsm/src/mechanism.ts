import { hash } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import pkcs11, { type Mechanism } from 'pkcs11js';

/** The kind of a key in the HSM, as far as signing goes. */
export type KeyFamily = 'ec' | 'rsa' | 'ed25519';

/** What signing with a key needs to know of it. */
export interface KeyShape {
  readonly family: KeyFamily;
  /** Octets of the order of an elliptic curve's base point, the length of each half of a raw signature; 0 for RSA. */
  readonly orderOctets: number;
  /** Size of the key as mechanisms count it: of the modulus, or of the curve. */
  readonly bits: number;
}

/** How one signature algorithm is asked of a token: what goes into C_Sign under which mechanism. */
interface SigningMechanism {
  readonly family: KeyFamily;
  readonly mechanism: Mechanism;
  input(message: Uint8Array, orderOctets: number): Buffer;
}

type Sha = 'sha256' | 'sha384' | 'sha512';

/** CKM_EDDSA, PKCS #11 version 3.0; pkcs11js has no name for it. */
const CKM_EDDSA = 0x1057;

const NAMES = new Map<number, string>([
  [pkcs11.CKM_ECDSA, 'CKM_ECDSA'], [pkcs11.CKM_RSA_PKCS, 'CKM_RSA_PKCS'], [pkcs11.CKM_RSA_PKCS_PSS, 'CKM_RSA_PKCS_PSS'],
  [CKM_EDDSA, 'CKM_EDDSA'],
]);

/** The mechanism's name in PKCS #11. */
export const mechanismName = (mechanism: number): string => NAMES.get(mechanism) ?? `mechanism 0x${mechanism.toString(16)}`;

/** DER of the DigestInfo of PKCS #1 version 1.5 (RFC 8017), up to the digest itself. */
const DIGEST_INFO: Record<Sha, Buffer> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

const PSS: Record<Sha, { hashAlg: number; mgf: number; saltLen: number }> = {
  sha256: { hashAlg: pkcs11.CKM_SHA256, mgf: pkcs11.CKG_MGF1_SHA256, saltLen: 32 },
  sha384: { hashAlg: pkcs11.CKM_SHA384, mgf: pkcs11.CKG_MGF1_SHA384, saltLen: 48 },
  sha512: { hashAlg: pkcs11.CKM_SHA512, mgf: pkcs11.CKG_MGF1_SHA512, saltLen: 64 },
};

/** By way of a string, which takes half as long as a Buffer with memory of its own. */
const digest = (sha: Sha, message: Uint8Array): Buffer => Buffer.from(hash(sha, message, 'latin1'), 'latin1');

const ecdsa = (sha: Sha): SigningMechanism => ({
  family: 'ec',
  mechanism: { mechanism: pkcs11.CKM_ECDSA },
  // A digest longer than the order is cut to its leftmost octets, as ECDSA asks; not every token does it itself.
  input: (message, orderOctets) => digest(sha, message).subarray(0, orderOctets),
});

const rsa = (sha: Sha): SigningMechanism => ({
  family: 'rsa',
  mechanism: { mechanism: pkcs11.CKM_RSA_PKCS },
  input: (message) => Buffer.concat([DIGEST_INFO[sha], digest(sha, message)]),
});

const pss = (sha: Sha): SigningMechanism => ({
  family: 'rsa',
  mechanism: { mechanism: pkcs11.CKM_RSA_PKCS_PSS, parameter: { type: pkcs11.CK_PARAMS_RSA_PSS, ...PSS[sha] } },
  input: (message) => digest(sha, message),
});

const MECHANISMS: Record<SignatureAlgorithm, SigningMechanism> = {
  'ecdsa-sha256': ecdsa('sha256'), 'ecdsa-sha384': ecdsa('sha384'), 'ecdsa-sha512': ecdsa('sha512'),
  'rsa-sha256': rsa('sha256'), 'rsa-sha384': rsa('sha384'), 'rsa-sha512': rsa('sha512'),
  'rsa-pss-sha256': pss('sha256'), 'rsa-pss-sha384': pss('sha384'), 'rsa-pss-sha512': pss('sha512'),
  ed25519: {
    family: 'ed25519',
    mechanism: { mechanism: CKM_EDDSA },
    input: (message) => Buffer.from(message.buffer, message.byteOffset, message.byteLength),
  },
};

/** The mechanism for C_SignInit. @throws PkiError `hsm.mechanism-missing` where a key of this family cannot sign so */
export const signingMechanism = (algorithm: SignatureAlgorithm, family: KeyFamily): Mechanism =>
  fitting(algorithm, family).mechanism;

/**
 * The octets for C_Sign: a digest, a DigestInfo, or the message itself for Ed25519. May share memory with `message`.
 * @throws PkiError `hsm.mechanism-missing` where a key of this shape cannot sign so
 */
export const signingInput = (algorithm: SignatureAlgorithm, shape: Omit<KeyShape, 'bits'>, message: Uint8Array): Buffer =>
  fitting(algorithm, shape.family).input(message, shape.orderOctets);

function fitting(algorithm: SignatureAlgorithm, family: KeyFamily): SigningMechanism {
  const found = MECHANISMS[algorithm];
  if (found.family !== family) {
    throw new PkiError('hsm.mechanism-missing', `a key of type ${family} cannot sign by ${algorithm}`);
  }
  return found;
}
