import { join } from 'node:path';
import { type Clock, type RandomBytes, PkiError, toHex } from '@fleetroot/core';
import { readRequest, spkiSha256 } from '@fleetroot/x509';
import type { Officer } from './approval.ts';
import { prepareAuthority } from './authority-object.ts';
import { prepareCrl } from './crl-object.ts';
import { describeObject, told } from './describe.ts';
import { sha256Of } from './digest.ts';
import { CeremonyFolder } from './folder.ts';
import { Hierarchy } from './hierarchy.ts';
import { Intents } from './intents.ts';
import { type CeremonyObject, isSigned } from './object.ts';
import type { CeremonyPlan } from './plan.ts';
import { plannedAuthority, plannedCrl, plannedCross, plannedOcspSigner, plannedRenewal, plannedRequest } from './planned.ts';
import type { CeremonyRecord } from './record.ts';
import { prepareCross, prepareRenewal } from './reissue-object.ts';
import { prepareOcspSigner, prepareRequest } from './request-object.ts';
import type { CeremonySite } from './site.ts';
import type { CeremonyToken } from './token.ts';
import { type CeremonyKey, TokenKeys } from './token-keys.ts';

export interface PrepareParts {
  readonly plan: CeremonyPlan;
  /** The folder of ceremonies; made where it does not exist. One ceremony at a time. */
  readonly folder: string;
  readonly token: CeremonyToken;
  /** Base of the URLs in the certificates of subordinate CAs. */
  readonly statusUrl: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** What a ceremony will sign, before anything is signed. */
export interface PreparedCeremony {
  readonly title: string;
  /** In the order in which they are signed; empty: all is on record. */
  readonly objects: readonly CeremonyObject[];
  /** The dry run: everything that will be signed, for people to read and officers to approve. */
  readonly text: string;
  /** Of the text's UTF-8, hex. It changes where anything of the ceremony does. */
  readonly sha256: string;
  /** How many officers must approve it. */
  readonly approvals: number;
  readonly officers: readonly Officer[];
}

/** What holding the ceremony needs beside. */
export interface Preparation extends PreparedCeremony {
  readonly folder: CeremonyFolder;
  readonly record: CeremonyRecord;
  readonly intents: Intents;
  /** undefined: there is nothing to sign. */
  readonly ceremonyKey: CeremonyKey | undefined;
}

/**
 * Prepares a ceremony: makes the keys that are missing, which have signed nothing and harm nobody, and puts on disk what
 * fixes each object (CKA_ID, serial number, notBefore, CRL number), so that the same ceremony prepared again, after a crash
 * or while approvals are waited for, comes to the same octets and the same hash. What is on record is left as it is;
 * where all is, nothing is changed.
 * @throws PkiError `ceremony.invalid` with file and line where the plan does not fit what is on record; `certificate.lint`;
 *   `clock.skew`; `hsm.*`
 */
export async function prepareCeremony(parts: PrepareParts): Promise<PreparedCeremony> {
  const { title, objects, text, sha256, approvals, officers } = await prepare(parts);
  return { title, objects, text, sha256, approvals, officers };
}

export async function prepare({ plan, token, statusUrl, clock, random, ...parts }: PrepareParts): Promise<Preparation> {
  const folder = new CeremonyFolder(parts.folder);
  const record = folder.record();
  // Reads every file on record: a ceremony does not stand on a damaged folder.
  const hierarchy = new Hierarchy(folder, record);
  const intents = new Intents(folder, clock, random);
  const common = { title: plan.title, approvals: plan.approvals, officers: plan.officers, folder, record, intents };
  const missing = missingFrom(plan, record);
  if (Object.values(missing).every((list) => list.length === 0)) {
    const text = `Ceremony: ${plan.title}\nNothing is to be signed: all of it is on record.\n`;
    return { ...common, objects: [], text, sha256: sha256Of(text), ceremonyKey: undefined };
  }
  const keys = await TokenKeys.of(token);
  const ceremonyKey = await keys.ceremonyKey(record, random);
  const site: CeremonySite = {
    plan, folder, record, hierarchy, intents, keys, statusUrl,
    requests: record.requests.map((request) => ({ name: request.name, keyId: request.keyId, spkiDer: readRequest(folder.recorded(request)).spkiDer })),
    predecessors: new Map([
      ...record.authorities.flatMap(({ name, succeeds }): [string, string][] => (succeeds === null ? [] : [[name, succeeds]])),
      ...plan.authorities.flatMap(({ name, succeeds }): [string, string][] => (succeeds === undefined ? [] : [[name, succeeds]])),
    ]),
  };
  const objects: CeremonyObject[] = [];
  for (const { planned, path } of missing.authorities) objects.push(await prepareAuthority(site, planned, path));
  for (const { planned, path } of missing.requests) objects.push(await prepareRequest(site, planned, path));
  for (const { planned, path } of missing.renewals) objects.push(prepareRenewal(site, planned, path));
  for (const { planned, path } of missing.crossCertificates) objects.push(prepareCross(site, planned, path));
  for (const { planned, path } of missing.crls) objects.push(prepareCrl(site, planned, path));
  for (const { planned, path } of missing.ocspSigners) objects.push(prepareOcspSigner(site, planned, path));
  for (const object of objects) requireFree(folder, object);
  const text = dryRun(plan, token, ceremonyKey, objects);
  return { ...common, objects, text, sha256: sha256Of(text), ceremonyKey };
}

/** The entries of a plan that are not on record, with their places. */
function missingFrom(plan: CeremonyPlan, record: CeremonyRecord) {
  const made = new Set([...record.certificates, ...record.crls].map(({ planned }) => planned));
  const placed = <T>(list: string, entries: readonly T[], isMissing: (entry: T) => boolean) =>
    entries.map((planned, i) => ({ planned, path: [list, i] as const })).filter(({ planned }) => isMissing(planned));
  return {
    authorities: placed('authorities', plan.authorities, (each) => isMissing('CA', each.name, plannedAuthority(each), record.authorities)),
    requests: placed('requests', plan.requests, (each) => isMissing('request', each.name, plannedRequest(each), record.requests)),
    renewals: placed('renewals', plan.renewals, (each) => !made.has(plannedRenewal(plan, each))),
    crossCertificates: placed('crossCertificates', plan.crossCertificates, (each) => !made.has(plannedCross(plan, each))),
    crls: placed('crls', plan.crls, (each) => !made.has(plannedCrl(plan, each))),
    ocspSigners: placed('ocspSigners', plan.ocspSigners, (each) => !made.has(plannedOcspSigner(plan, each))),
  };
}

function isMissing(what: string, name: string, planned: string, records: readonly { readonly name: string; readonly planned: string }[]): boolean {
  const found = records.find((record) => record.name === name);
  if (found === undefined) return true;
  if (found.planned === planned) return false;
  throw new PkiError('ceremony.invalid', `the ${what} ${name} exists, made from another plan: a CA is not changed, give the new one a name of its own`);
}

/** A run that was cut off may have signed under this name, and shown it to somebody: that file is not lost to another. */
function requireFree(folder: CeremonyFolder, object: CeremonyObject): void {
  const found = folder.read(object.file);
  if (found === undefined || isSigned(object, found)) return;
  throw new PkiError('ceremony.invalid', `${join(folder.dir, object.file)} is of a ceremony that is not finished: run that one again, or move the file out of the folder`);
}

function dryRun(plan: CeremonyPlan, token: CeremonyToken, ceremonyKey: CeremonyKey, objects: readonly CeremonyObject[]): string {
  const { label, serial } = token.facts;
  const head = told([
    ['ceremony', plan.title], ['plan', `SHA-256 ${plan.sha256}`], ...plan.inputs.map(({ file, sha256 }) => ['reads', `${file}, SHA-256 ${sha256}`] as const),
    ['token', `${label}, serial ${serial}`], ['ceremony key', `CKA_ID ${ceremonyKey.keyId}, SHA-256 of SubjectPublicKeyInfo ${toHex(spkiSha256(ceremonyKey.spkiDer))}`],
    ['approvals', plan.approvals === 0 ? 'none are asked for' : `${plan.approvals} of ${plan.officers.length} officers`],
    ...plan.officers.map(({ name, spkiDer }) => ['officer', `${name}, SHA-256 of SubjectPublicKeyInfo ${toHex(spkiSha256(spkiDer))}`] as const),
  ], '');
  return `${head}\n${objects.map((object, i) => `${i + 1}. ${describeObject(object)}`).join('\n')}`;
}
