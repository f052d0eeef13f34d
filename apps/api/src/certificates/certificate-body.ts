import { type CertificateRecord, type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { encodePem } from '@fleetroot/x509';
import { z } from 'zod';

const reasons = Object.keys(revocationReasons) as [RevocationReason, ...RevocationReason[]];

export const certificateSchema = z.object({
  serial: z.string().meta({ description: 'hexadecimal' }),
  ca: z.string(),
  profile: z.string(),
  status: z.enum(['valid', 'revoked', 'expired']),
  ecuSerial: z.string().nullable(),
  partNumber: z.string().nullable(),
  vin: z.string().nullable(),
  subjectName: z.string().nullable().meta({ description: 'of what is not an ECU' }),
  notBefore: z.iso.datetime(),
  notAfter: z.iso.datetime(),
  issuedAt: z.iso.datetime(),
  renewalDueAt: z.iso.datetime().nullable(),
  revocation: z.object({ reason: z.enum(reasons), revokedAt: z.iso.datetime() }).nullable(),
  certificate: z.string().meta({ description: 'PEM' }),
}).meta({ id: 'Certificate' });

/** A certificate on record as callers see it. */
export function certificateBody(record: CertificateRecord, now: Date): z.infer<typeof certificateSchema> {
  const { serial, ca, profile, revocation, notBefore, notAfter, issuedAt, renewalDueAt } = record;
  return {
    serial, ca, profile,
    // The last second of validity is valid itself (I7).
    status: revocation !== undefined ? 'revoked' : notAfter.getTime() + 1000 <= now.getTime() ? 'expired' : 'valid',
    ecuSerial: record.ecuSerial ?? null, partNumber: record.partNumber ?? null, vin: record.vin ?? null,
    subjectName: record.subjectName ?? null,
    notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString(), issuedAt: issuedAt.toISOString(),
    renewalDueAt: renewalDueAt?.toISOString() ?? null,
    revocation: revocation === undefined ? null : { reason: revocation.reason, revokedAt: revocation.revokedAt.toISOString() },
    certificate: encodePem('CERTIFICATE', record.certificate),
  };
}
