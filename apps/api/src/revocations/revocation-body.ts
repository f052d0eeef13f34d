import { type RevocationJob, type RevocationQuery, type RevocationReason, revocationReasons, type RevocationTarget } from '@fleetroot/authority';
import { caName, ecuSerial, lot, partNumber, PkiError, toHex, vin } from '@fleetroot/core';
import { decodePem, looksLikePem, spkiSha256 } from '@fleetroot/x509';
import { z } from 'zod';
import { instant } from '../instant.ts';

/** Attribute authorities are none of ours. `removeFromCRL` takes a hold back. */
const askableReasons = Object.keys(revocationReasons).filter((name) => name !== 'aACompromise') as [RevocationReason, ...RevocationReason[]];
export const reasonChoice = z.enum(askableReasons);

const name = z.string().min(1).max(64).regex(/^[\x21-\x7e]+$/);

const querySchema = z.strictObject({
  vin: z.string().max(40).optional(),
  ecuSerial: z.string().max(200).optional(),
  partNumber: z.string().max(200).optional(),
  lot: z.string().max(200).optional().meta({ description: 'of the supplier, as it was given with the request; with partNumber or supplier where lots of several have one name' }),
  supplier: name.optional().meta({ description: 'name of a supplier whose ECUs registered themselves' }),
  ca: name.optional(),
  profile: name.optional().meta({ description: 'narrows the others, and is not enough alone' }),
  issuedFrom: instant.optional(),
  issuedUntil: instant.optional().meta({ description: 'not in any more; narrows the others' }),
  publicKey: z.string().max(16_384).optional().meta({ description: 'SubjectPublicKeyInfo as PEM, or its SHA-256 in hex' }),
}).meta({ id: 'RevocationQuery' });

export const newRevocationsBody = z.strictObject({
  query: querySchema,
  reason: reasonChoice,
  invalidityDate: instant.optional().meta({ description: 'since when the keys are known or suspected to be in wrong hands' }),
  dryRun: z.boolean().default(false).meta({ description: 'counts and lists, and revokes nothing' }),
}).meta({ id: 'NewRevocations' });

/** @throws PkiError `vin.invalid`, `ecu.serial-invalid`, `ecu.part-number-invalid`, `ecu.lot-invalid`, `ca.name-invalid`, `http.body-invalid` */
export function queryOf(sent: z.output<typeof querySchema>): RevocationQuery {
  return {
    ...(sent.vin === undefined ? {} : { vin: vin(sent.vin) }),
    ...(sent.ecuSerial === undefined ? {} : { ecuSerial: ecuSerial(sent.ecuSerial) }),
    ...(sent.partNumber === undefined ? {} : { partNumber: partNumber(sent.partNumber) }),
    ...(sent.lot === undefined ? {} : { lot: lot(sent.lot) }),
    ...(sent.supplier === undefined ? {} : { supplier: sent.supplier }),
    ...(sent.ca === undefined ? {} : { ca: caName(sent.ca) }),
    ...(sent.profile === undefined ? {} : { profile: sent.profile }),
    ...(sent.issuedFrom === undefined ? {} : { issuedFrom: new Date(sent.issuedFrom) }),
    ...(sent.issuedUntil === undefined ? {} : { issuedUntil: new Date(sent.issuedUntil) }),
    ...(sent.publicKey === undefined ? {} : { publicKeySha256: keyHash(sent.publicKey) }),
  };
}

function keyHash(given: string): Uint8Array {
  if (/^[0-9a-fA-F]{64}$/.test(given)) return Buffer.from(given, 'hex');
  const block = looksLikePem(given) ? decodePem(given, 'http.body-invalid')[0] : undefined;
  if (block?.label !== 'PUBLIC KEY') {
    throw new PkiError('http.body-invalid', 'query.publicKey: a PEM block PUBLIC KEY, or the SHA-256 of the SubjectPublicKeyInfo in hex, expected', { data: { field: 'query.publicKey' } });
  }
  return spkiSha256(block.der);
}

export const targetSchema = z.object({
  place: z.int().nonnegative(), ca: z.string(), serial: z.string(),
  outcome: z.enum(['new', 'upgrade', 'same', 'conflict', 'released', 'gone']).nullable()
    .meta({ description: 'null: not yet; conflict: it is revoked for a stronger reason, and stays so; gone: it has expired, and was archived' }),
  profile: z.string().nullable(), ecuSerial: z.string().nullable(), notAfter: z.iso.datetime().nullable(),
}).meta({ id: 'RevocationTarget' });

export function targetBody({ place, ca, serial, outcome, profile, ecuSerial: ecu, notAfter }: RevocationTarget): z.infer<typeof targetSchema> {
  return { place, ca, serial, outcome: outcome ?? null, profile: profile ?? null, ecuSerial: ecu ?? null, notAfter: notAfter?.toISOString() ?? null };
}

const targetsSha256 = z.string().regex(/^[0-9a-f]{64}$/).meta({
  description: 'hex of the SHA-256 over a line `CA/SERIAL`, with its line end, for each target in the order of their places: what an approval is bound to',
});

export const previewSchema = z.object({
  dryRun: z.literal(true), targets: z.int().nonnegative(), targetsSha256,
  approvalsNeeded: z.int().nonnegative(), first: z.array(targetSchema).meta({ description: 'the first 100' }),
}).meta({ id: 'RevocationPreview' });

export const approvalBody = z.strictObject({ targetsSha256 }).meta({ id: 'NewRevocationApproval' });

export const revocationJobSchema = z.object({
  id: z.uuid(),
  state: z.enum(['waiting', 'running', 'done', 'cancelled', 'failed']).meta({ description: 'waiting: for approvals' }),
  by: z.string(),
  reason: reasonChoice,
  invalidityDate: z.iso.datetime().nullable(),
  query: z.record(z.string(), z.string()).meta({ description: 'as it is on record: of a VIN a keyed index' }),
  targets: z.int().nonnegative(),
  targetsSha256,
  done: z.int().nonnegative(),
  changed: z.int().nonnegative().meta({ description: 'revoked now, or for a stronger reason, or released' }),
  outcomes: z.record(z.string(), z.int()),
  approvalsNeeded: z.int().nonnegative(),
  approvals: z.array(z.object({ by: z.string(), at: z.iso.datetime() })),
  ratePerSecond: z.number().nullable(),
  secondsLeft: z.number().nullable(),
  failure: z.string().nullable(),
  createdAt: z.iso.datetime(),
  begunAt: z.iso.datetime().nullable(),
  completedAt: z.iso.datetime().nullable(),
}).meta({ id: 'RevocationJob' });

export function revocationJobBody(job: RevocationJob): z.infer<typeof revocationJobSchema> {
  const { id, state, principal: by, reason, targets, done, changed, approvalsNeeded } = job;
  const { ratePerSecond, secondsLeft } = paceOf(job);
  return {
    id, state, by, reason, invalidityDate: job.invalidityDate?.toISOString() ?? null, query: { ...job.query },
    targets, targetsSha256: toHex(job.targetsSha256), done, changed, outcomes: { ...job.outcomes },
    approvalsNeeded, approvals: job.approvals.map(({ principal, approvedAt }) => ({ by: principal, at: approvedAt.toISOString() })),
    ratePerSecond, secondsLeft, failure: job.failure ?? null, createdAt: job.createdAt.toISOString(),
    begunAt: job.begunAt?.toISOString() ?? null, completedAt: job.completedAt?.toISOString() ?? null,
  };
}

function paceOf({ state, done, targets, begunAt, now }: RevocationJob): { ratePerSecond: number | null; secondsLeft: number | null } {
  const seconds = begunAt === undefined ? 0 : (now.getTime() - begunAt.getTime()) / 1000;
  if (state !== 'running' || seconds <= 0 || done === 0) return { ratePerSecond: null, secondsLeft: null };
  const rate = done / seconds;
  return { ratePerSecond: Math.round(rate * 10) / 10, secondsLeft: Math.ceil((targets - done) / rate) };
}
