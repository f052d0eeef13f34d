import type { Authorization } from '@fleetroot/trust';
import { z } from 'zod';

export const authorizationSchema = z.object({
  allowed: z.boolean(),
  reason: z.string().meta({ description: 'stable code: `allowed`, or why not; docs/authorizer.md lists them' }),
  detail: z.string().meta({ description: 'the reason in words' }),
  ecuSerial: z.string().nullable(), partNumber: z.string().nullable(),
  vin: z.string().nullable().meta({ description: 'of the vehicle that the ECU is in' }),
  ca: z.string().nullable(), serial: z.string().nullable(), profile: z.string().nullable(), notAfter: z.iso.datetime().nullable(),
}).meta({ id: 'Authorization', description: 'What is not known is null; holder and CA are told of refused certificates as well' });

export function authorizationBody({ allowed, reason, detail, ecuSerial, partNumber, vin, ca, serial, profile, notAfter }: Authorization): z.infer<typeof authorizationSchema> {
  return {
    allowed, reason, detail, ecuSerial: ecuSerial ?? null, partNumber: partNumber ?? null, vin: vin ?? null,
    ca: ca ?? null, serial: serial ?? null, profile: profile ?? null, notAfter: notAfter?.toISOString() ?? null,
  };
}

/** Every field that an answer to a proxy may have, and what it tells. */
export const answerFields = {
  'X-Fleetroot-Reason': 'stable code: `allowed`, or why not',
  'X-Fleetroot-Ecu': 'serial of the ECU', 'X-Fleetroot-Part-Number': 'its part number', 'X-Fleetroot-Vin': 'of its vehicle',
  'X-Fleetroot-Ca': 'name of the CA', 'X-Fleetroot-Serial': 'of the certificate, in hex', 'X-Fleetroot-Profile': 'of the certificate',
  'X-Fleetroot-Not-After': 'end of the certificate, ISO 8601',
} as const;

/**
 * The same as header fields, name and value in turn, for a proxy to copy to its upstream. What is not known has an empty field: a proxy that copies
 * it then overwrites what the client itself sent by that name.
 */
export function answerHeaders({ reason, ecuSerial, partNumber, vin, ca, serial, profile, notAfter }: Authorization): string[] {
  return [
    'x-fleetroot-reason', reason, 'x-fleetroot-ecu', ecuSerial ?? '', 'x-fleetroot-part-number', partNumber ?? '', 'x-fleetroot-vin', vin ?? '',
    'x-fleetroot-ca', ca ?? '', 'x-fleetroot-serial', serial ?? '', 'x-fleetroot-profile', profile ?? '',
    'x-fleetroot-not-after', notAfter?.toISOString() ?? '',
  ];
}
