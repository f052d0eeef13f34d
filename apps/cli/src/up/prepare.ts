import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { LedgerKey, systemClock, toHex } from '@fleetroot/core';
import { openStore } from '@fleetroot/store';
import { ensureDevelopmentHierarchy } from '../ceremony/hierarchy.ts';
import { checkout } from '../checkout.ts';
import type { Console } from '../console.ts';
import type { DataDir } from '../data-dir/layout.ts';
import { ensureSecret } from '../data-dir/secret-file.ts';
import { ensureTokens } from '../tokens/tokens.ts';
import { databaseUrl, type Database, embeddedDatabase, givenDatabase, migrateDatabase, provisionedDatabase } from './database.ts';
import { findSoftHsm } from './softhsm.ts';
import { recordBeginnings } from './record.ts';

/** What an installation is made from. */
export interface InstallationOptions {
  readonly hsmModule?: string;
  /** Base of the URLs in certificates. */
  readonly statusUrl: string;
  /** An external PostgreSQL: the URL of a role that may make a database and roles, or of the roles that are there. */
  readonly adminDatabaseUrlFile?: string;
  readonly databaseUrlFile?: string;
  readonly statusDatabaseUrlFile?: string;
}

/** What runs, filled in as it starts, so that whoever stops it knows how far it came. */
export interface Prepared {
  database?: Database;
}

export interface Surroundings {
  /** Aborts when somebody wants it all to stop. */
  readonly signal: AbortSignal;
  readonly console: Console;
  /** Something we cannot do without is lost for good. */
  readonly onLost: (error: unknown) => void;
}

/**
 * Makes what the roles need, where it is missing: secrets, the database and its tables, tokens, CAs, the first records.
 * What is there already stays as it is. The caller holds the data folder's lock.
 * @returns the database and the PKCS#11 library
 * @throws PkiError, or the system error of a disk that is full
 */
export async function prepare(
  dir: DataDir, options: InstallationOptions, prepared: Prepared, { signal, console, onLost }: Surroundings,
): Promise<{ readonly database: Database; readonly hsmModule: string }> {
  const stage = <T>(label: string, work: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    return console.stage(label, work);
  };
  const module = options.hsmModule ?? findSoftHsm();
  const ledgerKey = new LedgerKey(new Uint8Array(Buffer.from(ensureSecret(dir.secret('ledger-key'), () => toHex(randomBytes(32))), 'hex')));
  ensureSecret(dir.secret('status-enrolment'), () => randomBytes(32).toString('base64url'));

  const database = prepared.database = await stage('PostgreSQL', () => {
    const { databaseUrlFile, statusDatabaseUrlFile, adminDatabaseUrlFile } = options;
    if (databaseUrlFile !== undefined && statusDatabaseUrlFile !== undefined) return givenDatabase(databaseUrlFile, statusDatabaseUrlFile);
    if (adminDatabaseUrlFile !== undefined) return provisionedDatabase(dir, adminDatabaseUrlFile);
    return embeddedDatabase(dir, { onNotice: (line) => console.say(`  ${line}`), onLost });
  });
  await stage('Migrations', () => migrateDatabase(database));
  const held = await stage('Tokens and CAs', async () => {
    const { ca } = await ensureTokens({ dataDir: dir.path, module });
    const planFile = join(checkout, 'hsm-config/ceremony-dev.yaml');
    return ensureDevelopmentHierarchy({ ...ca, planFile, dataDir: dir.path, module, statusUrl: options.statusUrl, clock: systemClock });
  });
  await stage('Ledger', async () => {
    const store = await openStore({ databaseUrl: databaseUrl(database), ledgerKey, pool: 2 });
    try {
      await recordBeginnings(store, dir, held);
    } finally {
      await store.close();
    }
  });
  return { database, hsmModule: module };
}
