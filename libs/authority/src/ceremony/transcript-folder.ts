import { equalBytes, isPkiError, PkiError, toHex, utf8 } from '@fleetroot/core';
import {
  encodePem, type ParsedCertificate, parseCertificate, parseCrl, readRequest, type SignatureAlgorithm, verifyPossession, verifySignature,
} from '@fleetroot/x509';
import { sha256Of } from './digest.ts';
import { CeremonyFolder } from './folder.ts';
import { type SignedTranscript, type TranscriptFacts, verifyTranscript } from './transcript.ts';

/** A folder of ceremonies, as it is found. */
export interface CeremonyRecords {
  /** The files of all transcripts, in the order of the ceremonies. */
  readonly transcripts: readonly { readonly file: string; readonly content: Uint8Array }[];
  /** What ceremony.json says there is. */
  readonly objects: readonly { readonly file: string; readonly sha256: string }[];
  /** The octets of a file of the folder; undefined: it is not there. */
  read(file: string): Uint8Array | undefined;
}

/** What witnesses know from elsewhere: the paper they took home from a ceremony. */
export interface CeremonyExpectations {
  /** SHA-256 of the SubjectPublicKeyInfo of each ceremony key that may have signed, hex; undefined: any. */
  readonly ceremonyKeys?: readonly string[];
  /** SHA-256 of a transcript that must be among them, hex: it shows that none up to it was taken away. */
  readonly transcript?: string;
}

export interface VerifiedCeremonies {
  readonly transcripts: readonly { readonly file: string; readonly sha256: string; readonly facts: TranscriptFacts }[];
  /** SHA-256 of each ceremony key's SubjectPublicKeyInfo, hex, in the order of their first transcripts. */
  readonly ceremonyKeys: readonly string[];
  /** Files whose octets were compared with a transcript. */
  readonly files: number;
}

type Out = TranscriptFacts['out'][number];

/** Reads a folder of ceremonies, to be verified. @throws PkiError `ceremony.invalid` where ceremony.json is damaged */
export function ceremonyRecords(dir: string): CeremonyRecords {
  const folder = new CeremonyFolder(dir);
  const { authorities, certificates, requests, crls } = folder.record();
  return {
    transcripts: folder.transcripts().map((file) => ({ file, content: folder.read(file) ?? new Uint8Array(0) })),
    objects: [...authorities.map(({ name, sha256 }) => ({ file: `${name}.cer`, sha256 })), ...certificates, ...requests, ...crls],
    read: (file) => folder.read(file),
  };
}

/**
 * Checks every transcript of a folder, that none is missing between them, and what they tell against the files: each file
 * is the one that was written, its signature verifies under the certificate of its issuer, and all that ceremony.json
 * names came out of a ceremony.
 * @throws PkiError `ceremony.transcript-invalid` that names the file and what is wrong with it
 */
export function verifyCeremonies(records: CeremonyRecords, expected: CeremonyExpectations = {}): VerifiedCeremonies {
  const signed = records.transcripts.map(({ file, content }) => ({ file, ...verifyTranscript(content, file) }));
  checkChain(signed);
  checkExpectations(signed, expected);
  const known = knownFiles(signed);
  for (const { file, sha256 } of records.objects) {
    if (known.get(file)?.sha256 !== sha256) throw invalid(file, 'no transcript tells of it as ceremony.json does: a transcript is missing, or ceremony.json was changed');
  }
  const octets = compareFiles(known, records);
  const certificates = readCertificates([...octets.values()]);
  for (const [file, content] of octets) {
    const out = known.get(file);
    if (out !== undefined) checkSignature(out, content, certificates);
  }
  return {
    transcripts: signed.map(({ file, sha256, facts }) => ({ file, sha256, facts })),
    ceremonyKeys: [...new Set(signed.map(({ facts }) => facts.ceremonyKey.spkiSha256))], files: octets.size,
  };
}

type Named = SignedTranscript & { readonly file: string };

function checkChain(signed: readonly Named[]): void {
  let before: Named | undefined;
  for (const transcript of signed) {
    if (transcript.facts.previous !== (before?.sha256 ?? null)) {
      throw invalid(transcript.file, `it does not follow ${before === undefined ? 'the beginning' : before.file}: a transcript is missing or was exchanged`);
    }
    before = transcript;
  }
}

function checkExpectations(signed: readonly Named[], { ceremonyKeys, transcript }: CeremonyExpectations): void {
  const stranger = signed.find(({ facts }) => ceremonyKeys !== undefined && !ceremonyKeys.includes(facts.ceremonyKey.spkiSha256));
  if (stranger !== undefined) throw invalid(stranger.file, `it is signed by the ceremony key ${stranger.facts.ceremonyKey.spkiSha256}, which is not the one you name`);
  if (transcript !== undefined && !signed.some(({ sha256 }) => sha256 === transcript)) {
    throw new PkiError('ceremony.transcript-invalid', `no transcript here has the SHA-256 ${transcript}: one is missing, or this is another folder`);
  }
}

/**
 * What the transcripts say of each file; where several do (an OCSP signer that was followed by the next), the last one.
 * What was read came from anywhere, under names of its own: it is not looked for here.
 */
const knownFiles = (signed: readonly Named[]): Map<string, Out> =>
  new Map(signed.flatMap(({ facts }) => facts.out.map((out) => [out.file, out])));

function compareFiles(known: ReadonlyMap<string, Out>, records: CeremonyRecords): Map<string, Uint8Array> {
  const octets = new Map<string, Uint8Array>();
  for (const [file, { sha256 }] of known) {
    const content = records.read(file);
    if (content === undefined) throw invalid(file, 'it is missing, and a transcript tells that it was made');
    if (sha256Of(content) !== sha256) throw invalid(file, 'it is not the one that the transcript tells of: it was changed or exchanged');
    const text = file.endsWith('.cer') ? records.read(file.replace(/cer$/, 'pem')) : undefined;
    if (text !== undefined && !equalBytes(text, utf8(encodePem('CERTIFICATE', content)))) throw invalid(file.replace(/cer$/, 'pem'), `it is not ${file} as PEM: it was changed or exchanged`);
    octets.set(file, content);
  }
  return octets;
}

function readCertificates(contents: readonly Uint8Array[]): ParsedCertificate[] {
  return contents.flatMap((content) => {
    try {
      return [parseCertificate(content)];
    } catch (error) {
      // A request or a CRL.
      if (isPkiError(error)) return [];
      throw error;
    }
  });
}

interface SignedObject {
  readonly tbsDer: Uint8Array;
  readonly issuerDer: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

/** The transcript is signed, so a breach here means that the ceremony itself told what was not so. */
function checkSignature(out: Out, content: Uint8Array, certificates: readonly ParsedCertificate[]): void {
  try {
    const signed = out.kind === 'request' ? ownRequest(content) : issued(out, content, certificates);
    if (sha256Of(signed) !== out.tbsSha256) throw invalid(out.file, 'what is signed in it is not what the transcript tells');
  } catch (error) {
    if (!isPkiError(error) || error.code === 'ceremony.transcript-invalid') throw error;
    throw new PkiError('ceremony.transcript-invalid', `${out.file}: ${error.message}`, { cause: error });
  }
}

function ownRequest(content: Uint8Array): Uint8Array {
  const request = readRequest(content);
  verifyPossession(request);
  return request.infoDer;
}

function issued(out: Out, content: Uint8Array, certificates: readonly ParsedCertificate[]): Uint8Array {
  const object: SignedObject = out.kind === 'crl' ? parseCrl(content) : certificateOf(out, content);
  const { tbsDer, issuerDer, signatureAlgorithm, signature } = object;
  const issuers = certificates.filter(({ subjectDer, isCa }) => isCa && equalBytes(subjectDer, issuerDer));
  if (issuers.length === 0) throw invalid(out.file, 'the certificate of its issuer is not in the folder');
  if (!issuers.some(({ spkiDer }) => verifySignature(spkiDer, signatureAlgorithm, tbsDer, signature))) {
    throw invalid(out.file, 'its signature does not verify under the certificate of its issuer');
  }
  return tbsDer;
}

function certificateOf(out: Out, content: Uint8Array): ParsedCertificate {
  const certificate = parseCertificate(content);
  if (toHex(certificate.serial) !== out.serial) throw invalid(out.file, 'its serial number is not the one that the transcript tells');
  return certificate;
}

const invalid = (file: string, what: string): PkiError => new PkiError('ceremony.transcript-invalid', `${file}: ${what}`, { data: { file } });
