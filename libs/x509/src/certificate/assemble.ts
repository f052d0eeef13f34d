import { DerBackWriter } from '../der/back-writer.ts';
import { tag } from '../der/writer.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from '../key/algorithm.ts';

// Assembling is synchronous: one writer serves all.
const writer = new DerBackWriter();

/** Certificate, DER (RFC 5280 section 4.1), from its TBSCertificate and the signature in X.509 form. */
export function assembleCertificate(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array {
  writer.clear();
  writer.bytes(signature);
  // No unused bits.
  writer.octet(0);
  writer.header(tag.bitString, writer.length);
  writer.bytes(algorithmIdentifier(algorithm));
  writer.bytes(tbs);
  writer.header(tag.sequence, writer.length);
  return writer.take();
}
