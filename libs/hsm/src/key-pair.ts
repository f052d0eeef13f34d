import { type ITemplate, KeyGenMechanism, type Session } from 'graphene-pk11';
import { returnValue } from './cryptoki-error.ts';
import type { KeyAlgorithm } from './key-algorithm.ts';

/** CKM_EC_EDWARDS_KEY_PAIR_GEN, PKCS #11 version 3.0; neither graphene nor pkcs11js has a name for it. */
const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;

/** DER of the curve's OID, as CKA_EC_PARAMS takes it. */
const CURVES: Partial<Record<KeyAlgorithm, Buffer>> = {
  'p-256': Buffer.from('06082a8648ce3d030107', 'hex'),
  'p-384': Buffer.from('06052b81040022', 'hex'),
  'p-521': Buffer.from('06052b81040023', 'hex'),
  ed25519: Buffer.from('06032b6570', 'hex'),
};

const PUBLIC_EXPONENT = Buffer.from('010001', 'hex');

/**
 * Generates a key pair in the token. The private key signs and does nothing else, is sensitive and never leaves.
 * @returns handles of the private and the public key object
 */
export function generate(
  session: Session, algorithm: KeyAlgorithm, label: string, keyId: Uint8Array,
): { privateKey: Buffer; publicKey: Buffer } {
  const id = Buffer.from(keyId);
  const common: ITemplate = { token: true, id, label };
  const privateTemplate: ITemplate = {
    ...common, private: true, sensitive: true, extractable: false, sign: true, decrypt: false, unwrap: false, derive: false,
  };
  const curve = CURVES[algorithm];
  const publicTemplate: ITemplate = {
    ...common, verify: true, encrypt: false, wrap: false,
    ...(curve === undefined
      ? { modulusBits: Number(algorithm.slice('rsa-'.length)), publicExponent: PUBLIC_EXPONENT }
      : { paramsEC: curve }),
  };
  const pair = (more: ITemplate, ofPublic: ITemplate) =>
    session.generateKeyPair(mechanismFor(algorithm), { ...publicTemplate, ...ofPublic }, { ...privateTemplate, ...more });
  const { privateKey, publicKey } = withFallback(() => pair({ signRecover: false }, { private: false }), () => pair({}, {}));
  return { privateKey: privateKey.handle, publicKey: publicKey.handle };
}

/** AWS CloudHSM, by its documentation, wants CKA_PRIVATE true for public keys too and CKA_SIGN_RECOVER equal to CKA_SIGN. */
const TEMPLATE_REFUSED = ['CKR_TEMPLATE_INCONSISTENT', 'CKR_ATTRIBUTE_VALUE_INVALID', 'CKR_ATTRIBUTE_TYPE_INVALID', 'CKR_ATTRIBUTE_READ_ONLY'];

/** With the token's own choice of what does not matter to us, where it refuses ours. */
function withFallback<T>(work: () => T, otherwise: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!TEMPLATE_REFUSED.includes(returnValue(error) ?? '')) throw error;
    return otherwise();
  }
}

function mechanismFor(algorithm: KeyAlgorithm): KeyGenMechanism | { name: number; params: null } {
  if (algorithm === 'ed25519') return { name: CKM_EC_EDWARDS_KEY_PAIR_GEN, params: null };
  return algorithm.startsWith('rsa-') ? KeyGenMechanism.RSA : KeyGenMechanism.EC;
}
