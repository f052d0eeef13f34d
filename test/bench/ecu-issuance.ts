import { randomFillSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { compileProfile, type CompiledProfile, readProfileFolder } from '@fleetroot/authority';
import { type ParsedCertificate, parseCertificate } from '@fleetroot/x509';
import { certify, named } from '../support/software-ca.ts';

export interface EcuIssuance {
  readonly compiled: CompiledProfile;
  readonly issuer: ParsedCertificate;
  readonly signedAt: Date;
  /** 16 octets, positive; new at each call. */
  serial(): Uint8Array;
}

/** The profile `ecu-client` that is shipped, compiled for a P-256 CA, as issuance has it. */
export function ecuIssuance(): EcuIssuance {
  const profiles = readProfileFolder(
    fileURLToPath(new URL('../../hsm-config/profiles', import.meta.url)), { statusUrl: 'http://status.vehicle.example' },
  );
  const profile = profiles.get('ecu-client');
  if (profile === undefined) throw new Error('there is no profile ecu-client');
  const issuer = parseCertificate(certify({ subject: named('ECU issuing') }).certificate);
  return {
    compiled: compileProfile(profile, { ...issuer, name: 'ecu-issuing' }), issuer, signedAt: new Date('2026-11-22T12:00:00Z'),
    serial() {
      const octets = randomFillSync(new Uint8Array(16));
      octets[0] = 0x40 | ((octets[0] ?? 0) & 0x3f);
      return octets;
    },
  };
}
