import { bitString, sequence } from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';

/** Certificate, DER (RFC 5280 section 4.1), from its TBSCertificate and the signature in X.509 form. */
export const assembleCertificate = (tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array =>
  sequence(tbs, algorithmIdentifier(algorithm), bitString(signature));
