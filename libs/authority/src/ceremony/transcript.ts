import { canonicalJson } from '@fleetroot/audit';
import { equalBytes, fromBase64, isPkiError, PkiError, toBase64, toHex, utf8 } from '@fleetroot/core';
import { decodePem, encodePem, type SignatureAlgorithm, signatureAlgorithmFor, spkiSha256, verifySignature } from '@fleetroot/x509';
import { z } from 'zod';
import { countApprovals, type Officer } from './approval.ts';
import { sha256Of } from './digest.ts';
import { ceremonyFile } from './record.ts';
import { isVisibleLine } from './visible.ts';

const hex = z.string().regex(/^(?:[0-9a-f]{2})+$/);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const instant = z.iso.datetime();
const line = z.string().refine(isVisibleLine, { error: 'must be one line of visible characters' });
const pem = z.string().startsWith('-----BEGIN PUBLIC KEY-----\n');

/** Kinds of what a ceremony makes; the first three are certificates. */
export const transcriptKinds = ['ca', 'cross', 'ocsp-signer', 'crl', 'request'] as const;

const factsForm = z.strictObject({
  title: line,
  /** Who held it. */
  by: line,
  began: instant,
  ended: instant,
  /** SHA-256 of the plan's file. */
  planSha256: sha256Hex,
  /** Text of the dry run, as it was approved: UTF-8 of this SHA-256. It holds the hash of each TBS that was signed. */
  dryRun: z.string(),
  dryRunSha256: sha256Hex,
  token: z.strictObject({ label: z.string(), serial: z.string() }),
  /** The key that signs the transcript; it lies in the token and signs nothing else. */
  ceremonyKey: z.strictObject({ keyId: hex, spkiSha256: sha256Hex, publicKey: pem }),
  /** How many approvals the plan asks for, and whose. */
  approvalsRequired: z.int().min(0),
  officers: z.array(z.strictObject({ name: z.string(), publicKey: pem })),
  /** Those that counted. */
  approvals: z.array(z.strictObject({ officer: z.string(), sha256: sha256Hex, at: instant, signature: z.base64() })),
  /** SHA-256 of the file of the transcript before, in the same folder; null: the first. */
  previous: sha256Hex.nullable(),
  /** What was read: requests, certificates and CRLs made elsewhere or before. */
  in: z.array(z.strictObject({ file: z.string(), sha256: sha256Hex })),
  out: z.array(z.strictObject({
    /** In the folder of ceremonies. */
    file: ceremonyFile,
    sha256: sha256Hex,
    kind: z.enum(transcriptKinds),
    /** Of the CA that it is about; of an OCSP signer the CA it answers for. */
    name: z.string(),
    /** Of a certificate; null: it is none. */
    serial: hex.nullable(),
    /** CKA_ID of the key that it certifies, asks a certificate for, or (a CRL) is signed by; null: a key elsewhere. */
    keyId: hex.nullable(),
    /** SHA-256 of what was signed: TBSCertificate, TBSCertList, CertificationRequestInfo. */
    tbsSha256: sha256Hex,
  })),
});

/** What a transcript tells. Hashes and CKA_IDs in lower-case hex, times in ISO 8601, public keys as PEM. */
export type TranscriptFacts = z.infer<typeof factsForm>;

const fileForm = z.strictObject({ signature: z.base64().min(1), transcript: factsForm });

export interface SignedTranscript {
  /** The octets of the file. */
  readonly content: Uint8Array;
  /** Of `content`, hex: `previous` of the next one. */
  readonly sha256: string;
  readonly facts: TranscriptFacts;
}

/** A public key as transcripts carry it. */
export const publicKeyPem = (spkiDer: Uint8Array): string => encodePem('PUBLIC KEY', spkiDer);

/**
 * The transcript as it is kept: one line of canonical JSON (RFC 8785), `{"signature":...,"transcript":...}`. The
 * signature, in its X.509 form, is over the canonical JSON of `transcript`, so that others can check it.
 * @param sign by the ceremony key
 * @throws PkiError `hsm.signature-invalid` where the signature does not verify; `ceremony.transcript-invalid` where the
 *   facts are not of the form of a transcript, or do not agree with each other
 */
export async function signTranscript(
  facts: TranscriptFacts, sign: (algorithm: SignatureAlgorithm, message: Uint8Array) => Promise<Uint8Array>,
): Promise<SignedTranscript> {
  const { spkiDer } = checkFacts(readForm(factsForm, facts, 'the new transcript'), 'the new transcript');
  const algorithm = signatureAlgorithmFor(spkiDer);
  const message = utf8(canonicalJson(facts));
  const signature = await sign(algorithm, message);
  if (!verifySignature(spkiDer, algorithm, message, signature)) {
    throw new PkiError('hsm.signature-invalid', 'the signature that the HSM made for the transcript does not verify: nothing was written');
  }
  const content = encode(facts, toBase64(signature));
  return { content, sha256: sha256Of(content), facts };
}

/**
 * A transcript that holds: its octets are the one encoding of what they say, the signature is that of the key in it, and
 * the approvals are those of the officers in it over the dry run in it. What else must be looked at, `verifyCeremonies`
 * does: whether the key is the expected one, the chain, and the files.
 * @param file its name, for the message
 * @throws PkiError `ceremony.transcript-invalid` that names the file and what is wrong
 */
export function verifyTranscript(content: Uint8Array, file: string): SignedTranscript {
  const { transcript: facts, signature } = readForm(fileForm, parse(content, file), file);
  // Any octet that the parser let pass (a field twice, white space, another spelling of a number) is found here.
  if (!equalBytes(content, encode(facts, signature))) throw invalid(file, 'it is not written as transcripts are: it was changed');
  const { spkiDer } = checkFacts(facts, file);
  const octets = fromBase64(signature);
  if (octets === undefined || !verifySignature(spkiDer, signatureAlgorithmFor(spkiDer), utf8(canonicalJson(facts)), octets)) {
    throw invalid(file, 'the signature is not that of its ceremony key: it was changed');
  }
  return { content, sha256: sha256Of(content), facts };
}

/** @throws PkiError `ceremony.transcript-invalid` where what it says does not agree with itself */
function checkFacts(facts: TranscriptFacts, file: string): { spkiDer: Uint8Array } {
  const spkiDer = keyOf(facts.ceremonyKey.publicKey, file, 'the ceremony key');
  if (toHex(spkiSha256(spkiDer)) !== facts.ceremonyKey.spkiSha256) throw invalid(file, 'the hash of the ceremony key is not that of its public key');
  if (sha256Of(facts.dryRun) !== facts.dryRunSha256) throw invalid(file, 'the hash of the dry run is not that of its text');
  if (facts.ended < facts.began) throw invalid(file, 'it ended before it began');
  const unannounced = facts.out.find(({ tbsSha256 }) => !facts.dryRun.includes(tbsSha256));
  if (unannounced !== undefined) throw invalid(file, `the dry run does not hold what was signed as ${unannounced.file}`);
  checkApprovals(facts, file);
  return { spkiDer };
}

function checkApprovals(facts: TranscriptFacts, file: string): void {
  const officers: Officer[] = facts.officers.map(({ name, publicKey }) => ({ name, spkiDer: keyOf(publicKey, file, `the key of the officer ${name}`) }));
  const toApprove = { title: facts.title, sha256: facts.dryRunSha256, approvals: facts.approvalsRequired, officers };
  const { counted, remarks } = explained(file, () => countApprovals(toApprove, facts.approvals, facts.by));
  const [remark] = remarks;
  if (remark !== undefined) throw invalid(file, `an approval does not hold: ${remark}`);
  if (counted.length !== facts.approvals.length) throw invalid(file, 'an officer has approved it twice');
  if (counted.length < facts.approvalsRequired) throw invalid(file, `it was held with ${counted.length} of ${facts.approvalsRequired} approvals`);
}

/** The one encoding of a transcript. */
const encode = (transcript: TranscriptFacts, signature: string): Uint8Array => utf8(`${canonicalJson({ signature, transcript })}\n`);

function parse(content: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content));
  } catch (cause) {
    throw new PkiError('ceremony.transcript-invalid', `${file}: it is no JSON: it was changed`, { cause });
  }
}

function readForm<T>(form: z.ZodType<T>, value: unknown, file: string): T {
  const read = form.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw invalid(file, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not of the form of a transcript'}`);
}

function keyOf(publicKey: string, file: string, whose: string): Uint8Array {
  return explained(file, () => {
    const [block] = decodePem(publicKey, 'ceremony.transcript-invalid');
    if (block === undefined || publicKeyPem(block.der) !== publicKey) throw invalid(file, `${whose} is not one PEM block`);
    return block.der;
  });
}

/** Refusals of what lies below, told as the transcript's. */
function explained<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isPkiError(error) || error.code === 'ceremony.transcript-invalid') throw error;
    throw new PkiError('ceremony.transcript-invalid', `${file}: ${error.message}`, { cause: error });
  }
}

const invalid = (file: string, what: string): PkiError => new PkiError('ceremony.transcript-invalid', `${file}: ${what}`, { data: { file } });
