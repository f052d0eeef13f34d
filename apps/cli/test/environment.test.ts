import { expect, it } from 'vitest';
import { environmentFor, parseSetting, type RoleName } from '../src/up/environment.ts';

const values = {
  databaseUrl: '/s/database-url', statusDatabaseUrl: '/s/status-database-url', ledgerKey: '/s/ledger-key',
  caTokenPin: '/s/ca.pin', ocspTokenPin: '/s/ocsp.pin', statusEnrolmentSecret: '/s/enrolment', issuingCa: 'ecu-issuing',
};

it.each<{ role: RoleName; secrets: string[] }>([
  { role: 'api', secrets: ['/s/database-url', '/s/ledger-key'] },
  { role: 'issuer', secrets: ['/s/ca.pin', '/s/database-url', '/s/ledger-key'] },
  { role: 'status', secrets: ['/s/enrolment', '/s/ocsp.pin', '/s/status-database-url'] },
  { role: 'worker', secrets: ['/s/database-url', '/s/enrolment', '/s/ledger-key'] },
])('tells $role of its own secrets only', ({ role, secrets }) => {
  const environment = environmentFor(role, values);
  expect(Object.values(environment).filter((value) => value.startsWith('/s/')).sort()).toEqual(secrets);
  expect(environment['FLEETROOT_ISSUING_CA']).toBe('ecu-issuing');
  expect(environment['SOFTHSM2_CONF']).toBeUndefined();
});

it('inherits nothing', () => {
  const names = Object.keys(environmentFor('api', {}, '/softhsm2.conf')).sort();
  expect(names).toEqual(['NODE_ENV', 'PATH', 'SOFTHSM2_CONF', 'TZ']);
});

it('takes settings, and neither secrets nor what is none', () => {
  expect(parseSetting('FLEETROOT_CRL_LIFETIME_MINUTES=60')).toEqual({ crlLifetimeMinutes: '60' });
  expect(() => parseSetting('FLEETROOT_CA_TOKEN_PIN=1234')).toThrow('is a secret');
  expect(() => parseSetting('FLEETROOT_NONE=1')).toThrow('FLEETROOT_NONE is none');
  expect(() => parseSetting('nonsense')).toThrow('nonsense is none');
});
