import { join } from 'node:path';
import { checkout } from '../checkout.ts';
import type { DataDir } from '../data-dir/layout.ts';
import type { Database } from './database.ts';
import { writeEndpoints } from './endpoints.ts';
import type { SettingValues } from './environment.ts';
import { FleetOfRoles } from './fleet-of-roles.ts';
import { endpointsOf, type UpOptions } from './options.ts';
import { prepare, type Prepared, type Surroundings } from './prepare.ts';
import { waitUntilReady } from './readiness.ts';

/** As `Prepared`. */
export interface Parts extends Prepared {
  roles?: FleetOfRoles;
}

const READY_WITHIN_MS = 90_000;

/**
 * Brings everything up, in the order in which the parts need each other. Again, on the same data folder: goes on with
 * the same CAs, the same ledger and the same tokens.
 * @throws PkiError, or the system error of a disk that is full
 */
export async function bringUp(dir: DataDir, options: UpOptions, parts: Parts, surroundings: Surroundings): Promise<void> {
  const { signal, console } = surroundings;
  const say = (line: string): void => console.say(`  ${line}`);
  const endpoints = endpointsOf(options);
  const { database, hsmModule } = await prepare(dir, { ...options, statusUrl: endpoints.status }, parts, surroundings);
  signal.throwIfAborted();

  const stopped = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  stopped.catch(() => undefined);
  const roles = parts.roles = new FleetOfRoles(dir, settingsFor(dir, options, database, hsmModule), options.issuers, say);
  writeEndpoints(dir, endpoints);
  await console.stage(`Issuers (${options.issuers}), status, worker, api`, () => Promise.race([roles.start(), stopped]));
  const ready = (url: string): Promise<void> => waitUntilReady(`${url}/readyz`, READY_WITHIN_MS, (what) => say(`waiting for: ${what}`));
  await console.stage('Ready to issue, and to answer for it', () => Promise.race([Promise.all([ready(endpoints.api), ready(endpoints.statusHere)]), stopped]));
}

/** The settings of every role; where a setting is a secret, the path of its file. */
function settingsFor(dir: DataDir, options: UpOptions, database: Database, hsmModule: string): SettingValues {
  const at = (port: number): string => `${options.listen.includes(':') ? `[${options.listen}]` : options.listen}:${port}`;
  return {
    databaseUrl: database.urlFile,
    statusDatabaseUrl: database.statusUrlFile,
    ledgerKey: dir.secret('ledger-key'),
    caTokenPin: dir.secret('ca-token.pin'),
    ocspTokenPin: dir.secret('ocsp-token.pin'),
    statusEnrolmentSecret: dir.secret('status-enrolment'),
    ...(options.redisUrlFile === undefined ? {} : { queueBackend: 'redis', redisUrl: options.redisUrlFile }),
    apiListen: at(options.apiPort),
    deviceListen: at(options.devicePort),
    deviceTlsDir: dir.deviceTls,
    archiveDir: dir.archive,
    statusListen: at(options.statusPort),
    statusInternalListen: `127.0.0.1:${options.statusInternalPort}`,
    statusInternalUrl: `http://127.0.0.1:${options.statusInternalPort}`,
    statusPublicUrl: endpointsOf(options).status,
    profilesDir: join(checkout, 'hsm-config/profiles'),
    hsmModule,
    // On one machine a look costs next to nothing, and the first CRL and OCSP signer are waited for.
    scheduleSeconds: '2',
    ...options.set,
  };
}
