import { createHash } from 'node:crypto';
import { PkiError } from '@fleetroot/core';
import { bitString, header, tag } from '../der/writer.ts';
import { algorithmIdentifier, digestOf, type SignatureAlgorithm } from '../key/algorithm.ts';
import { type CrlFacts, crlFrame } from './build.ts';
import { type CrlEntry, CrlEntryEncoder } from './entry-encoder.ts';

/**
 * Where the encoded entries of one CRL lie until it is written: a file, for one. DER names a length before what it
 * measures, and the length of a signature in ECDSA is known only once it is made, so the entries are read back twice:
 * for the digest, and into the CRL. The ledger is asked once, so that both see the same entries.
 */
export interface CrlSpool {
  /** Keeps these octets after those that came before. Once it is done, they may be written over. */
  append(octets: Uint8Array): Promise<void> | void;
  /** Everything from the first octet on, in chunks of any size. */
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A TBSCertList that is never in memory whole. */
export interface StreamedCrlTbs {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** How many there are. */
  readonly entries: number;
  /** Octets of the TBSCertList. */
  readonly octets: number;
  /** Digest of the TBSCertList, what the key signs; undefined for Ed25519, which signs the octets of `chunks`. */
  readonly digest: Uint8Array | undefined;
  /** The TBSCertList, DER. @throws PkiError `crl.invalid` where the spool gives back more or less than it was given */
  chunks(): AsyncGenerator<Uint8Array>;
}

/**
 * The same octets as `buildCrlTbs`, without keeping the entries: memory does not grow with them.
 * @param entries ascending by the content octets of their serials, as a database sorts octets, so that none comes twice
 * @param spool empty, and this CRL's alone
 * @throws PkiError `crl.invalid` where a field breaks RFC 5280 section 5.1, or the entries are not in ascending order
 */
export async function writeCrlTbs(
  facts: CrlFacts, entries: AsyncIterable<CrlEntry> | Iterable<CrlEntry>, spool: CrlSpool,
): Promise<StreamedCrlTbs> {
  const { before, after } = crlFrame(facts);
  const encoder = await spoolEntries(entries, spool, facts.baseNumber !== undefined);
  // No entries, no revokedCertificates (RFC 5280 section 5.1.2.6).
  const list = encoder.count === 0 ? new Uint8Array(0) : header(tag.sequence, encoder.octets);
  const content = before.length + list.length + encoder.octets + after.length;
  const start = header(tag.sequence, content);

  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield* [start, before, list];
    let octets = 0;
    for await (const chunk of spool.read()) {
      octets += chunk.length;
      yield chunk;
    }
    if (octets !== encoder.octets) throw new PkiError('crl.invalid', 'the spool of a CRL gave back other entries than it was given');
    yield after;
  }

  const { signatureAlgorithm } = facts;
  return {
    signatureAlgorithm, entries: encoder.count, octets: start.length + content, digest: await digest(signatureAlgorithm, chunks()), chunks,
  };
}

async function spoolEntries(
  entries: AsyncIterable<CrlEntry> | Iterable<CrlEntry>, spool: CrlSpool, delta: boolean,
): Promise<CrlEntryEncoder> {
  let full: Uint8Array[] = [];
  const spare: Uint8Array[] = [];
  const encoder = new CrlEntryEncoder((chunk) => {
    full.push(chunk);
    return spare.pop();
  }, delta);
  const add = (entry: CrlEntry): void => {
    encoder.add(entry);
    if (!encoder.ascending) {
      throw new PkiError('crl.invalid', 'the entries of a streamed CRL are not in ascending order of their serial numbers, or one comes twice');
    }
  };
  const flush = async (): Promise<void> => {
    for (const chunk of full) {
      await spool.append(chunk);
      spare.push(new Uint8Array(chunk.buffer));
    }
    full = [];
  };
  if (Symbol.iterator in entries) {
    for (const entry of entries) {
      add(entry);
      if (full.length > 0) await flush();
    }
  } else {
    for await (const entry of entries) {
      add(entry);
      if (full.length > 0) await flush();
    }
  }
  await flush();
  await spool.append(encoder.rest);
  return encoder;
}

async function digest(algorithm: SignatureAlgorithm, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array | undefined> {
  const name = digestOf(algorithm);
  if (name === undefined) return undefined;
  const hash = createHash(name);
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest();
}

/**
 * CertificateList, DER, in chunks, as `assembleCrl` makes it.
 * @param signature in the form that X.509 asks for: ECDSA as the DER of r and s
 */
export async function* writeCrl(tbs: StreamedCrlTbs, signature: Uint8Array): AsyncGenerator<Uint8Array> {
  const algorithm = algorithmIdentifier(tbs.signatureAlgorithm);
  const bits = bitString(signature);
  yield header(tag.sequence, tbs.octets + algorithm.length + bits.length);
  yield* tbs.chunks();
  yield algorithm;
  yield bits;
}
