import { hash } from 'node:crypto';
import {
  type CeremonyCertificate, type CertificationAuthority, isTrusted, lineRevocation, type PublishedCrl, type RevocationReason,
  revocationReasons, signatureAlgorithmOf,
} from '@fleetroot/authority';
import { toHex } from '@fleetroot/core';
import { describeName, encodePem, parseCertificate } from '@fleetroot/x509';
import { z } from 'zod';
import { issuingOf } from '../authorities.ts';

type Ca = CertificationAuthority;

export const caStates = ['prepared', 'active', 'retiring', 'retired', 'compromised'] as const;
const reasons = Object.keys(revocationReasons) as [RevocationReason, ...RevocationReason[]];
const name = z.string().nullable();
const moment = z.iso.datetime();

export const caSchema = z.object({
  name: z.string(),
  parent: name.meta({ description: 'null: a root' }),
  state: z.enum(caStates),
  subject: z.string(),
  labels: z.record(z.string(), z.string()),
  keyOnline: z.boolean().meta({ description: 'its key is in the CA token here' }),
  trusted: z.boolean().meta({ description: 'neither it nor a CA above is revoked or retired' }),
  successor: name.meta({ description: 'the next generation' }),
  switchAt: moment.nullable().meta({ description: 'when that one issues in its place' }),
  revocation: z.object({
    ca: z.string().meta({ description: 'itself, or the CA above that is revoked' }), reason: z.enum(reasons), revokedAt: moment,
  }).nullable().meta({ description: 'then everything that it has signed counts as revoked' }),
  notBefore: moment,
  notAfter: moment,
  certificate: z.string().meta({ description: 'PEM; of several for its key the one that ends last' }),
}).meta({ id: 'Ca' });

export const caDetailSchema = caSchema.extend({
  children: z.array(z.string()),
  issues: z.boolean().meta({ description: 'it issues certificates to ECUs and servers now' }),
  issuingGeneration: name.meta({ description: 'of it and the generations after it the one that issues now' }),
  signatureAlgorithm: z.string(),
  crl: z.object({ number: z.string(), thisUpdate: moment, nextUpdate: moment, current: z.boolean() }).nullable(),
  certificates: z.array(z.object({
    kind: z.enum(['ca', 'cross', 'ocsp-signer']).meta({ description: 'by its issuer or itself, by another CA, or of an OCSP signer that it signed elsewhere' }),
    subject: name.meta({ description: 'the CA on record whose key it is' }),
    issuer: name.meta({ description: 'the CA on record that signed it' }),
    serial: z.string(), notBefore: moment, notAfter: moment, sha256: z.string(), certificate: z.string().meta({ description: 'PEM' }),
  })).meta({ description: 'all that ceremonies signed of it or by it, oldest first' }),
}).meta({ id: 'CaDetail' });

const nameOf = (id: number | undefined, all: readonly Ca[]): string | null => all.find((ca) => ca.id === id)?.name ?? null;

export const reasonName = (number: number): RevocationReason => reasons.find((reason) => revocationReasons[reason] === number) ?? 'unspecified';

/** A CA on record as callers see it. */
export function caBody(ca: Ca, all: readonly Ca[]): z.infer<typeof caSchema> {
  return {
    name: ca.name, parent: nameOf(ca.parentId, all), state: ca.state, subject: describeName(parseCertificate(ca.certificate).subjectDer),
    labels: { ...ca.labels }, keyOnline: ca.keyId !== undefined, trusted: isTrusted(ca, all), successor: nameOf(ca.successorId, all),
    switchAt: ca.switchAt?.toISOString() ?? null, revocation: revocationBody(ca, all), notBefore: ca.notBefore.toISOString(),
    notAfter: ca.notAfter.toISOString(), certificate: encodePem('CERTIFICATE', ca.certificate),
  };
}

function revocationBody(ca: Ca, all: readonly Ca[]): z.infer<typeof caSchema>['revocation'] {
  const revocation = lineRevocation(ca, all);
  if (revocation === undefined) return null;
  const revoked = all.find((one) => one.revocation === revocation) ?? ca;
  return { ca: revoked.name, reason: reasonName(revocation.reason), revokedAt: revocation.revokedAt.toISOString() };
}

export interface CaFacts {
  readonly all: readonly Ca[];
  readonly certificates: readonly CeremonyCertificate[];
  readonly crl: PublishedCrl | undefined;
  readonly now: Date;
}

/** All that is on record of a CA. */
export function caDetailBody(ca: Ca, { all, certificates, crl, now }: CaFacts): z.infer<typeof caDetailSchema> {
  const issuing = issuingOf(ca, all);
  return {
    ...caBody(ca, all),
    children: all.filter(({ parentId }) => parentId === ca.id).map((child) => child.name),
    issues: issuing?.id === ca.id,
    issuingGeneration: issuing?.name ?? null,
    signatureAlgorithm: signatureAlgorithmOf(ca),
    crl: crl === undefined ? null : {
      number: String(crl.number), thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate.toISOString(), current: now < crl.nextUpdate,
    },
    certificates: certificates.map((one) => ({
      kind: one.kind, subject: nameOf(one.subjectId, all), issuer: nameOf(one.issuerId, all), serial: toHex(one.serial),
      notBefore: one.notBefore.toISOString(), notAfter: one.notAfter.toISOString(),
      sha256: hash('sha256', one.certificate, 'hex'), certificate: encodePem('CERTIFICATE', one.certificate),
    })),
  };
}
