import { PkiError, toBase64, toHex } from '@fleetroot/core';
import { encodePem, spkiSha256 } from '@fleetroot/x509';
import { type Approval, requireApprovals } from './approval.ts';
import { octets, sha256Of } from './digest.ts';
import { type HeldObjects, heldObjects } from './held.ts';
import { assemble, type CeremonyObject, fileOf, isSigned } from './object.ts';
import { prepare, type Preparation, type PreparedCeremony, type PrepareParts } from './prepare.ts';
import type { CeremonyRecord } from './record.ts';
import type { CeremonyToken } from './token.ts';
import { publicKeyPem, signTranscript, type TranscriptFacts, verifyTranscript } from './transcript.ts';
import { isVisibleLine } from './visible.ts';

export interface CeremonyParts extends PrepareParts {
  /** Who holds it, for the transcript; does not approve it. */
  readonly by: string;
  /** The approvals that are there for the dry run; may wait for them. Absent: there are none. */
  readonly approvals?: (prepared: PreparedCeremony) => Promise<readonly Approval[]>;
}

/**
 * Holds a ceremony: prepares it, requires its approvals, signs each object that is not on record, once, verifies each
 * signature, and puts all of it on record with a transcript. What is on record is left as it is; where all is, nothing
 * is changed.
 *
 * Crash-safe: what fixes each object is on disk before its key exists, and each file before the next is signed. The next
 * run comes to the same octets, needs the same approvals, and signs only what has no file yet. An object counts once
 * ceremony.json names it, which is replaced last.
 *
 * @returns everything on record in the folder
 * @throws PkiError as `prepareCeremony`; `ceremony.not-approved`; `hsm.signature-invalid`
 */
export async function holdCeremony(parts: CeremonyParts): Promise<HeldObjects> {
  if (!isVisibleLine(parts.by)) throw new PkiError('ceremony.invalid', 'say who holds the ceremony (--by) as one line of visible characters');
  const began = parts.clock.now();
  const shown = await prepare(parts);
  if (shown.objects.length === 0) return heldObjects(parts.folder);
  const given = await parts.approvals?.(shown) ?? [];
  // Approvals may take days: what is signed is what would be shown now, which is the same unless a CRL has meanwhile ended
  // or been followed by another.
  const prepared = shown.approvals === 0 ? shown : await prepare(parts);
  const approvals = requireApprovals(prepared, given, parts.by);
  const out: Out[] = [];
  for (const object of prepared.objects) out.push({ object, sha256: await signed(prepared, parts.token, object) });
  await writeTranscript(prepared, parts, { began, approvals, out });
  prepared.folder.writeRecord(recordWith(prepared, out));
  prepared.intents.finish(prepared.objects.map(({ intent }) => intent));
  return heldObjects(parts.folder);
}

interface Out {
  readonly object: CeremonyObject;
  /** Of its file. */
  readonly sha256: string;
}

/**
 * Signs an object, or finds it signed by a run that was cut off: that file may have been seen, so it stays the one.
 * @returns SHA-256 of its file, which is durable
 */
async function signed({ folder }: Preparation, token: CeremonyToken, object: CeremonyObject): Promise<string> {
  const { file, tbs, algorithm, signer, given } = object;
  const found = folder.read(file);
  const content = found !== undefined && isSigned(object, found) ? found
    : fileOf(object, given ?? assemble(tbs, algorithm, await token.sign(octets(signer.keyId ?? ''), algorithm, tbs)));
  // What leaves is what was linted, under a signature that verifies (I6).
  if (!isSigned(object, content)) throw new PkiError('hsm.signature-invalid', `the signature that the HSM made for ${file} does not verify: it was not written`);
  if (content !== found) folder.write(file, content);
  if (file.endsWith('.cer')) folder.write(file.replace(/cer$/, 'pem'), Buffer.from(encodePem('CERTIFICATE', content)));
  return sha256Of(content);
}

async function writeTranscript(
  { folder, text, sha256, officers, ceremonyKey }: Preparation, { plan, by, clock, token }: CeremonyParts,
  held: { readonly began: Date; readonly approvals: readonly Approval[]; readonly out: readonly Out[] },
): Promise<void> {
  const last = folder.lastTranscript();
  const before = last === undefined ? undefined : verifyTranscript(last.content, last.file);
  // A run that died just before the next step has told of the same objects, and all of it is so.
  if (before?.facts.dryRunSha256 === sha256) return;
  if (ceremonyKey === undefined) throw new TypeError('a ceremony that signs has a ceremony key');
  const facts: TranscriptFacts = {
    title: plan.title, by, began: held.began.toISOString(), ended: clock.now().toISOString(), planSha256: plan.sha256, dryRun: text, dryRunSha256: sha256,
    token: { label: token.facts.label, serial: token.facts.serial },
    ceremonyKey: { keyId: ceremonyKey.keyId, spkiSha256: toHex(spkiSha256(ceremonyKey.spkiDer)), publicKey: publicKeyPem(ceremonyKey.spkiDer) },
    approvalsRequired: plan.approvals, officers: officers.map(({ name, spkiDer }) => ({ name, publicKey: publicKeyPem(spkiDer) })),
    approvals: [...held.approvals], previous: before?.sha256 ?? null, in: plan.inputs.map(({ file, sha256: of }) => ({ file, sha256: of })),
    out: held.out.map(({ object: { file, kind, name, serial, keyId, tbsSha256 }, sha256: of }) => ({
      file, sha256: of, kind, name, serial: serial ?? null, keyId: keyId ?? null, tbsSha256,
    })),
  };
  const transcript = await signTranscript(facts, (algorithm, message) => token.sign(octets(ceremonyKey.keyId), algorithm, message));
  folder.writeTranscript((last?.number ?? 0) + 1, transcript.content);
}

function recordWith({ record, ceremonyKey }: Preparation, out: readonly Out[]): CeremonyRecord {
  const entries = out.map(({ object, sha256 }) => object.entry(sha256));
  const known = record.ceremonyKeys.some(({ keyId }) => keyId === ceremonyKey?.keyId);
  return {
    authorities: [...record.authorities, ...entries.flatMap((entry) => ('authority' in entry ? [entry.authority] : []))],
    certificates: [...record.certificates, ...entries.flatMap((entry) => ('certificate' in entry ? [entry.certificate] : []))],
    requests: [...record.requests, ...entries.flatMap((entry) => ('request' in entry ? [entry.request] : []))],
    crls: [...record.crls, ...entries.flatMap((entry) => ('crl' in entry ? [entry.crl] : []))],
    ceremonyKeys: ceremonyKey === undefined || known ? record.ceremonyKeys : [...record.ceremonyKeys, { keyId: ceremonyKey.keyId, spki: toBase64(ceremonyKey.spkiDer) }],
  };
}
