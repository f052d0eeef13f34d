import { createPublicKey } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parseProfile, profileDocument, profileFromDocument } from '@fleetroot/authority';
import { isPkiError } from '@fleetroot/core';
import { decodeOcspGetPath } from '@fleetroot/ocsp';
import {
  algorithmIdentifier, assembleCertificate, assembleCrl, decodeCertsOnly, decodePem, DerReader, describeName, encodeCertsOnly, encodePem,
  type FixedKeyVerifier, fixedKeyVerifier, lintCertificate, parseCertificate, parseCrl, parseName, parseOcspRequest, parseRequest, publicKeyFacts, readRequest, type SignatureAlgorithm,
  validatePath, verifyPossession, verifySignedData, verifyWithKey,
} from '@fleetroot/x509';
import type { Corpus } from './corpus.ts';
import { mutateDer } from './mutate-der.ts';
import { mutateText } from './mutate-text.ts';
import type { Random } from './random.ts';

export interface Target {
  readonly name: string;
  readonly seeds: readonly Buffer[];
  mutate(seed: Buffer, random: Random): Buffer;
  /**
   * Puts an input through a parser; true where it is accepted. A PkiError is the parser's good right. Anything else that
   * is thrown is a finding, and so is an input that is accepted but breaks a law of round trips.
   */
  run(input: Buffer): boolean;
  /** Most octets of an input, where it is not 64 KiB. */
  readonly maxOctets?: number;
  /** How many times the limit of time a call may take: more than one for what no stranger sends. */
  readonly patience?: number;
}

let slowestMs = 0;

/** CPU milliseconds of the slowest call of a parser since this was last asked. */
export function slowestCall(): number {
  const ms = slowestMs;
  slowestMs = 0;
  return ms;
}

function timed<T>(call: () => T): T {
  const from = process.threadCpuUsage();
  try {
    return call();
  } finally {
    const { user, system } = process.threadCpuUsage(from);
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
  }
}

/** What the parser says, or undefined where it refuses. */
function accepted<T>(parse: () => T): T | undefined {
  try {
    return timed(parse);
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

function law(holds: boolean, what: string): void {
  if (!holds) throw new Error(`law broken: ${what}`);
}

const hexList = (ders: readonly Uint8Array[]): string[] => ders.map((der) => Buffer.from(der).toString('hex')).sort();

function names(nameDer: Uint8Array): void {
  if (accepted(() => parseName(nameDer, 'certificate.malformed')) !== undefined) timed(() => describeName(nameDer));
}

/** Signed structures go back to the same octets, save where the algorithm was written in another of its accepted forms. */
function reassembles(der: Uint8Array, algorithm: SignatureAlgorithm, again: Uint8Array, what: string): void {
  const canonical = Buffer.from(der).includes(algorithmIdentifier(algorithm));
  law(!canonical || Buffer.compare(der, again) === 0, `${what} does not go back to the same octets`);
}

function request(input: Buffer): boolean {
  const parsed = accepted(() => readRequest(input));
  if (parsed === undefined) return false;
  law(isDeepStrictEqual(parseRequest(parsed.der), parsed), 'a request is read alike from its DER');
  law(Buffer.compare(readRequest(encodePem('CERTIFICATE REQUEST', parsed.der)).infoDer, parsed.infoDer) === 0, 'a request is read alike from PEM');
  accepted(() => verifyPossession(parsed));
  names(parsed.subjectDer);
  return true;
}

function certificate(input: Buffer, issuer: Buffer): boolean {
  // What is linted has not always been parsed: unreadable ones are findings of the lint, never an exception.
  timed(() => lintCertificate(input, { issuer: undefined, kind: 'leaf' }));
  const parsed = accepted(() => parseCertificate(input));
  accepted(() => validatePath({ leaf: input, intermediates: [input], anchors: [issuer], time: new Date('2026-11-23T00:00:00Z') }));
  accepted(() => validatePath({ leaf: issuer, intermediates: [], anchors: [input], time: new Date('2026-11-23T00:00:00Z') }));
  if (parsed === undefined) return false;
  reassembles(input, parsed.signatureAlgorithm, assembleCertificate(parsed.tbsDer, parsed.signatureAlgorithm, parsed.signature), 'a certificate');
  for (const kind of ['leaf', 'ca', 'ocsp-signer'] as const) timed(() => lintCertificate(parsed.tbsDer, { issuer: parsed, kind }));
  names(parsed.subjectDer);
  names(parsed.issuerDer);
  accepted(() => publicKeyFacts(parsed.spkiDer, 'certificate.malformed'));
  return true;
}

function crl(input: Buffer): boolean {
  const parsed = accepted(() => parseCrl(input));
  if (parsed === undefined) return false;
  reassembles(input, parsed.signatureAlgorithm, assembleCrl(parsed.tbsDer, parsed.signatureAlgorithm, parsed.signature), 'a CRL');
  // Entries are read when they are asked for.
  return accepted(() => [...parsed.entries].length) !== undefined;
}

function ocspRequest(input: Buffer): boolean {
  const parsed = accepted(() => parseOcspRequest(input));
  if (parsed === undefined) return false;
  law(parsed.requests.every(({ der, serial }) => input.includes(der) && input.includes(serial)), 'a CertID is of the request');
  const path = encodeURIComponent(input.toString('base64'));
  law(input.equals(decodeOcspGetPath(path)), 'a GET holds what a POST holds');
  return true;
}

function pem(input: Buffer): boolean {
  accepted(() => readRequest(input));
  const blocks = accepted(() => decodePem(input.toString('latin1'), 'request.pem-invalid'));
  if (blocks === undefined) return false;
  const again = decodePem(blocks.map(({ label, der }) => encodePem(label, der)).join(''), 'request.pem-invalid');
  law(isDeepStrictEqual(again, blocks), 'PEM goes there and back');
  return blocks.length > 0;
}

function cms(input: Buffer): boolean {
  const verified = accepted(() => verifySignedData(input, { content: Buffer.from('bill of materials') }));
  const bundle = accepted(() => decodeCertsOnly(input));
  if (bundle === undefined) return verified !== undefined;
  const again = accepted(() => decodeCertsOnly(encodeCertsOnly(bundle)));
  if (again === undefined) return false;
  law(isDeepStrictEqual([hexList(again.certificates), hexList(again.crls)], [hexList(bundle.certificates), hexList(bundle.crls)]), 'a bundle goes there and back');
  return true;
}

function profile(input: Buffer): boolean {
  const text = input.toString('utf8');
  // A file has the name of its profile.
  const fileName = `${/^name: *(\S{1,64})/m.exec(text)?.[1] ?? 'fuzz'}.yaml`;
  const parsed = accepted(() => parseProfile(text, fileName, { statusUrl: 'http://status.example' }));
  if (parsed === undefined) return false;
  const document = profileDocument(parsed);
  law(profileDocument(profileFromDocument(document)) === document, 'a profile goes there and back');
  return true;
}

/** Requests whose signatures are by P-256: each key, with tables, and what it signed. */
function signedByP256(requests: readonly Buffer[]) {
  return requests.flatMap((der) => {
    const parsed = accepted(() => parseRequest(der));
    if (parsed?.signatureAlgorithm !== 'ecdsa-sha256' || accepted(() => verifyPossession(parsed) ?? true) === undefined) return [];
    const key = createPublicKey({ key: Buffer.from(parsed.spkiDer), format: 'der', type: 'spki' });
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? [{ key, message: parsed.infoDer, signature: Buffer.from(parsed.signature) }] : [];
  }).slice(0, 1);
}

function twoIntegers(input: Buffer): Uint8Array[] {
  const reader = new DerReader(input, 'hsm.signature-invalid').enter(0x30, 'the signature');
  return [reader.integer('r'), reader.integer('s')];
}

/** What is verified by tables of the key is what OpenSSL verifies: a signature among others that are right. */
function signatureTarget(corpus: Corpus): Target {
  const [{ key, message, signature }] = signedByP256(corpus.requests) as [ReturnType<typeof signedByP256>[number]];
  let verifier: FixedKeyVerifier | undefined;
  return {
    name: 'signature', seeds: [signature, ...corpus.found('signature')], maxOctets: 256,
    mutate: (seed, random) => mutateDer(seed, corpus.all, random),
    run(input) {
      if (verifier === undefined) {
        verifier = fixedKeyVerifier(key, 'ecdsa-sha256');
        while (verifier.prepareSome());
      }
      const good = { message, signature };
      const [first, verdict, ...rest] = timed(() => verifier!.verifyMany([good, { message, signature: input }, good, good]));
      law([first, ...rest].every(Boolean), 'a signature is verified beside any other');
      law(verdict === verifyWithKey(key, 'ecdsa-sha256', message, input), 'tables and OpenSSL agree');
      return accepted(() => twoIntegers(input)) !== undefined;
    },
  };
}

const PEM_WORDS = ['-----BEGIN ', '-----END ', 'CERTIFICATE REQUEST', '-----', '\n', '\r', ' ', '=', '==', 'A', 'Proc-Type: 4,ENCRYPTED\n', '\0', 'ÿ'];
const PATH_WORDS = ['%', '%2', '%2F', '%252B', '%25', '/', '+', '=', '-', '_', ' ', 'M', '%00', '?', '\uD800'];
const YAML_WORDS = ['&a ', '*a', ': ', '- ', '[', ']', '{', '}', '"', "'", '|', '>', '#', '\n', '\n  ', '!!binary ', '!!js/function ', '? ', '<<: ', '---\n', '...', '\t', '\0', '1e999', '-1', '0', '.inf', '~', 'true', '__proto__: ', 'constructor: ', '2026-11-22', 'P1Y'];

/** One for each parser that reads what comes from outside. */
export function targets(corpus: Corpus): Target[] {
  const octets = (name: string, seeds: readonly Buffer[], run: (input: Buffer) => boolean): Target =>
    ({ name, seeds: [...seeds, ...corpus.found(name)], run, mutate: (seed, random) => mutateDer(seed, corpus.all, random) });
  const text = (name: string, seeds: readonly string[], words: readonly string[], run: (input: Buffer) => boolean, encoding: 'utf8' | 'latin1' = 'latin1'): Target => ({
    name, seeds: [...seeds.map((seed) => Buffer.from(seed, encoding)), ...corpus.found(name)], run,
    mutate: (seed, random) => Buffer.from(mutateText(seed.toString(encoding), seeds, words, random), encoding),
  });
  const issuer = corpus.certificates[0]!;
  return [
    octets('request', corpus.requests, request),
    octets('certificate', corpus.certificates, (input) => certificate(input, issuer)),
    octets('crl', corpus.crls, crl),
    octets('ocsp', corpus.ocspRequests, ocspRequest),
    octets('cms', corpus.cms, cms),
    signatureTarget(corpus),
    text('pem', corpus.pem, PEM_WORDS, pem),
    text('ocsp-path', corpus.ocspPaths, PATH_WORDS, (input) => timed(() => decodeOcspGetPath(input.toString('latin1'))).length > 0),
    // An operator's file: the YAML library takes time squared for a mapping of many keys.
    { ...text('profile', corpus.profiles, YAML_WORDS, profile, 'utf8'), maxOctets: 16 * 1024, patience: 10 },
  ];
}
