import { createHash } from 'node:crypto';
import { type CaName, caName, type Clock, equalBytes, PkiError, type RandomBytes, toHex } from '@fleetroot/core';
import {
  assembleCertificate, type ParsedCertificate, parseCertificate, type SignatureAlgorithm, verifySignature,
} from '@fleetroot/x509';
import { buildAuthority, type CeremonyIssuer } from './certificate.ts';
import { CeremonyFolder, type HeldRecord, type IntentRecord, type TranscriptRecord } from './folder.ts';
import type { CeremonyPlan, PlannedAuthority } from './plan.ts';
import type { CeremonyToken } from './token.ts';

/** A CA from a ceremony: what the ledger needs of it, with its parent by name. */
export interface HeldAuthority {
  readonly name: CaName;
  readonly parent: CaName | undefined;
  /** DER. */
  readonly certificate: Uint8Array;
  /** CKA_ID of its key. */
  readonly keyId: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface CeremonyParts {
  readonly plan: CeremonyPlan;
  /** The folder of ceremonies; made where it does not exist. One ceremony at a time. */
  readonly folder: string;
  readonly token: CeremonyToken;
  /** Base of the URLs in the certificates of subordinate CAs. */
  readonly statusUrl: string;
  /** Who holds it, for the transcript. */
  readonly by: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/**
 * Holds a ceremony: makes a key and a certificate for each CA of the plan that is not on record, parents first. CAs on
 * record are left as they are; where all are, nothing is changed.
 *
 * Crash-safe: what a CA will be made with (CKA_ID, serial number, notBefore) is on disk before its key exists. The next
 * run goes on with a key that it finds under that CKA_ID, and builds the same TBSCertificate from it. Where the plan or
 * the URLs have changed meanwhile, the intent is dropped: a new CKA_ID and serial number are drawn, and the key of the
 * first attempt stays in the token, unused. A CA counts once ceremony.json names it.
 *
 * @returns every CA of the plan, in its order
 * @throws PkiError `ceremony.invalid` where a CA on record was made from another plan; `certificate.lint`; `hsm.*`
 */
export async function holdCeremony(parts: CeremonyParts): Promise<readonly HeldAuthority[]> {
  const { plan, clock } = parts;
  const folder = new CeremonyFolder(parts.folder);
  const known = readHeld(folder, parts.folder);
  const missing = plan.authorities.filter((planned) => !isOnRecord(planned, known));
  if (missing.length > 0) {
    const began = clock.now();
    const work = new Work(parts, folder, known);
    for (const planned of missing) await work.make(planned);
    const transcript: TranscriptRecord = {
      title: plan.title, by: parts.by, began: began.toISOString(), ended: clock.now().toISOString(),
      planSha256: plan.sha256, token: { label: parts.token.facts.label, serial: parts.token.facts.serial },
      authorities: work.told,
    };
    folder.finish([...known.values()].map(({ record }) => record), work.made, transcript);
  }
  return plan.authorities.map(({ name }) => {
    const authority = known.get(name);
    if (authority === undefined) throw new PkiError('ceremony.invalid', `${name} was not made`);
    return authority.held;
  });
}

/** Every CA on record in a folder of ceremonies, parents first. @throws PkiError `ceremony.invalid` where it is damaged */
export const heldAuthorities = (folder: string): readonly HeldAuthority[] =>
  [...readHeld(new CeremonyFolder(folder), folder).values()].map(({ held }) => held);

interface Known {
  readonly record: HeldRecord;
  readonly held: HeldAuthority;
  readonly certificate: ParsedCertificate;
}

/** What one run makes. */
class Work {
  readonly made = new Map<string, Uint8Array>();
  readonly told: TranscriptRecord['authorities'] = [];
  readonly #parts: CeremonyParts;
  readonly #folder: CeremonyFolder;
  readonly #known: Map<string, Known>;
  readonly #intents: Map<string, IntentRecord>;

  constructor(parts: CeremonyParts, folder: CeremonyFolder, known: Map<string, Known>) {
    this.#parts = parts;
    this.#folder = folder;
    this.#known = known;
    this.#intents = new Map(folder.intents().map((intent) => [intent.name, intent]));
  }

  async make(planned: PlannedAuthority): Promise<void> {
    const issuer = this.#issuer(planned);
    const intent = this.#intent(planned, issuer);
    const keyId = octets(intent.keyId);
    const { spkiDer, reused } = await this.#key(planned, keyId);
    const { statusUrl } = this.#parts;
    const notBefore = new Date(intent.notBefore);
    const { tbs, algorithm, notAfter } = buildAuthority(planned, issuer, { serial: octets(intent.serial), notBefore, spkiDer, statusUrl });
    const signedBy = issuer === undefined ? keyId : octets(this.#known.get(issuer.name)?.record.keyId ?? '');
    const issuerKey = issuer?.certificate.spkiDer ?? spkiDer;
    const der = this.#found(planned, tbs, algorithm, issuerKey)
      ?? assembleCertificate(tbs, algorithm, await this.#parts.token.sign(signedBy, algorithm, tbs));
    const certificate = verified(planned, der, tbs, algorithm, issuerKey);
    const record: HeldRecord = {
      name: planned.name, parent: planned.parent ?? null, keyId: intent.keyId, sha256: sha256(der),
      notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(), planned: plannedHash(planned),
    };
    this.#known.set(planned.name, { record, held: toHeld(record, der), certificate });
    this.made.set(planned.name, der);
    this.told.push({
      name: planned.name, keyId: intent.keyId, serial: toHex(certificate.serial), certificateSha256: sha256(der), reusedKey: reused,
    });
  }

  #issuer(planned: PlannedAuthority): CeremonyIssuer | undefined {
    if (planned.parent === undefined) return undefined;
    const parent = this.#known.get(planned.parent);
    if (parent === undefined) throw new PkiError('ceremony.invalid', `${planned.name} has a parent, ${planned.parent}, that does not exist`);
    return { name: planned.parent, certificate: parent.certificate };
  }

  /** What was begun for this CA, if it still holds, or what begins now; on disk on return. */
  #intent(planned: PlannedAuthority, issuer: CeremonyIssuer | undefined): IntentRecord {
    const basis = sha256(JSON.stringify([
      plannedHash(planned), issuer === undefined ? null : [sha256(issuer.certificate.tbsDer), this.#parts.statusUrl],
    ]));
    const begun = this.#intents.get(planned.name);
    if (begun?.basis === basis) return begun;
    const { clock, random } = this.#parts;
    const intent: IntentRecord = {
      name: planned.name, basis, keyId: toHex(random(20)), serial: toHex(positive(random(16))),
      notBefore: new Date(Math.floor(clock.now().getTime() / 1000) * 1000).toISOString(),
    };
    this.#intents.set(planned.name, intent);
    this.#folder.writeIntents([...this.#intents.values()]);
    return intent;
  }

  /** The key that an unfinished run has made under this CKA_ID, or a new one. */
  async #key(planned: PlannedAuthority, keyId: Uint8Array): Promise<{ spkiDer: Uint8Array; reused: boolean }> {
    const { token } = this.#parts;
    const [found, ...others] = (await token.listKeys()).filter((key) => equalBytes(key.keyId, keyId));
    if (found === undefined) {
      return { spkiDer: await token.generateKeyPair({ algorithm: planned.key, label: planned.name, keyId }), reused: false };
    }
    if (others.length > 0 || !found.closed || found.spkiDer === undefined) {
      throw new PkiError('hsm.key-mismatch', `the key that an earlier run began for ${planned.name} cannot be used: remove intents.json from the folder of ceremonies and run it again`);
    }
    return { spkiDer: found.spkiDer, reused: true };
  }

  /** A certificate that an earlier run wrote, but did not get on record: it may have been seen, so it stays the one. */
  #found(planned: PlannedAuthority, tbs: Uint8Array, algorithm: SignatureAlgorithm, issuerKey: Uint8Array): Uint8Array | undefined {
    const der = this.#folder.certificate(planned.name);
    if (der === undefined) return undefined;
    const { tbsDer, signature } = parseCertificate(der);
    return equalBytes(tbsDer, tbs) && verifySignature(issuerKey, algorithm, tbs, signature) ? der : undefined;
  }
}

/** The certificate, if it holds what was linted under a signature that verifies (I6). */
function verified(
  { name }: PlannedAuthority, der: Uint8Array, tbs: Uint8Array, algorithm: SignatureAlgorithm, issuerKey: Uint8Array,
): ParsedCertificate {
  const certificate = parseCertificate(der);
  if (equalBytes(certificate.tbsDer, tbs) && verifySignature(issuerKey, algorithm, tbs, certificate.signature)) return certificate;
  throw new PkiError('hsm.signature-invalid', `the signature that the HSM made for ${name} does not verify: nothing was written`);
}

function readHeld(folder: CeremonyFolder, path: string): Map<string, Known> {
  return new Map(folder.held().map((record) => {
    const der = folder.certificate(record.name);
    if (der === undefined || sha256(der) !== record.sha256) {
      throw new PkiError('ceremony.invalid', `${path}/${record.name}.cer is missing or not the one on record: restore it from a backup`);
    }
    return [record.name, { record, held: toHeld(record, der), certificate: parseCertificate(der) }];
  }));
}

function isOnRecord(planned: PlannedAuthority, known: ReadonlyMap<string, Known>): boolean {
  const record = known.get(planned.name)?.record;
  if (record === undefined) return false;
  if (record.planned === plannedHash(planned)) return true;
  throw new PkiError('ceremony.invalid', `the CA ${planned.name} exists, made from another plan: a CA is not changed, give the new one a name of its own`);
}

function toHeld(record: HeldRecord, certificate: Uint8Array): HeldAuthority {
  return {
    name: caName(record.name), parent: record.parent === null ? undefined : caName(record.parent), certificate,
    keyId: octets(record.keyId), notBefore: new Date(record.notBefore), notAfter: new Date(record.notAfter),
  };
}

const plannedHash = (planned: PlannedAuthority): string => sha256(JSON.stringify([
  planned.name, planned.parent ?? null, planned.key, planned.subject.map(({ type, value }) => [type, value]), planned.years, planned.pathLength,
]));

/** Positive and without a leading zero octet, so that the number is as long as it was drawn. */
function positive(drawn: Uint8Array): Uint8Array {
  const serial = Uint8Array.from(drawn);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

const octets = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
