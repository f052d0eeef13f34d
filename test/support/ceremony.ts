import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom, toBase64 } from '@fleetroot/core';
import { buildRequest, encodePem, type NamePart } from '@fleetroot/x509';
import {
  type Approval, approvalStatement, type CeremonyParts, type HeldObjects, heldObjects, holdCeremony, parseCeremonyPlan, prepareCeremony,
  type PreparedCeremony, type PlanSurroundings,
} from '@fleetroot/authority';
import { softwareToken, type SoftwareToken } from './software-token.ts';

const statusUrl = 'http://status.example';

/** A place where ceremonies are held: a folder, a token in memory, a clock that stands still. */
export interface Site {
  readonly folder: string;
  readonly token: SoftwareToken;
  now: Date;
  /** Files that plans name. */
  readonly files: Map<string, Uint8Array>;
  parts(fields: object, over?: Partial<CeremonyParts>): CeremonyParts;
  prepare(fields: object, over?: Partial<CeremonyParts>): Promise<PreparedCeremony>;
  hold(fields: object, over?: Partial<CeremonyParts>): Promise<HeldObjects>;
  held(): HeldObjects;
  remove(): void;
}

/** @param profiles of the plans */
export function site(profiles: PlanSurroundings['profiles'] = new Map()): Site {
  const folder = join(mkdtempSync(join(tmpdir(), 'fleetroot-unit-')), 'ceremony');
  const token = softwareToken();
  const files = new Map<string, Uint8Array>();
  const it: Site = {
    folder, token, files, now: new Date('2026-11-22T10:00:00Z'),
    parts: (fields, over) => ({
      plan: parseCeremonyPlan(JSON.stringify({ ceremony: 'A test', ...fields }), '/plans/plan.yaml', {
        profiles, readFile: (path) => files.get(path.replace('/plans/', '')) ?? (() => { throw new Error(`ENOENT: ${path}`); })(),
      }),
      folder, token, statusUrl, by: 'tester', clock: { now: () => it.now }, random: systemRandom, ...over,
    }),
    prepare: (fields, over) => attempt(() => prepareCeremony(it.parts(fields, over))),
    hold: (fields, over) => attempt(() => holdCeremony(it.parts(fields, over))),
    held: () => heldObjects(folder),
    remove: () => rmSync(join(folder, '..'), { recursive: true, force: true }),
  };
  return it;
}

/** A plan that is refused rejects too. */
const attempt = async <T>(work: () => Promise<T>): Promise<T> => work();

export const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

const spkiOf = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ type: 'spki', format: 'der' }));

/** A request that its own key has signed, PEM. */
export async function request(pair = p256(), subject: NamePart[] = []): Promise<Uint8Array> {
  const der = await buildRequest({ subject, spkiDer: spkiOf(pair.publicKey), algorithm: 'ecdsa-sha256' }, (info) => sign('sha256', info, pair.privateKey));
  return Buffer.from(encodePem('CERTIFICATE REQUEST', der));
}

/** An officer who approves whatever is shown. */
export function officer(name: string, pair = p256()) {
  return {
    entry: { name, publicKey: encodePem('PUBLIC KEY', spkiOf(pair.publicKey)) },
    approve: ({ title, sha256 }: { title: string; sha256: string }): Approval => ({
      officer: name, sha256, at: '2026-11-22T11:00:00.000Z',
      signature: toBase64(new Uint8Array(sign('sha256', approvalStatement({ title, officer: name, sha256 }), pair.privateKey))),
    }),
  };
}

export const root = { name: 'root', key: 'p-256', subject: { commonName: 'Root' }, years: 20, pathLength: 2 };
export const sub = { name: 'sub', parent: 'root', key: 'p-256', subject: { commonName: 'Sub' }, years: 10, pathLength: 1 };
