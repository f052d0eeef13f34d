import { type Config, readConfig } from '@fleetroot/config';
import { LedgerKey, PkiError } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { existsSync } from 'node:fs';
import { dataDirAt, type DataDir, isInitialised } from './data-dir/layout.ts';
import { lockHolder, takeLock } from './data-dir/lock.ts';
import { embeddedDatabase } from './up/database.ts';
import { variableOf } from './up/environment.ts';

export interface LedgerOptions {
  /** undefined: the environment names the database. */
  readonly dataDir?: string;
}

export type LedgerConfig = Config<'databaseUrl' | 'ledgerKey'>;

/**
 * Opens the ledger for one administrative command and closes it behind it. With a data folder: that of a running
 * `fleetroot up`, or else its PostgreSQL is started for as long as the command takes. Without: the environment's
 * FLEETROOT_DATABASE_URL_FILE and FLEETROOT_LEDGER_KEY_FILE.
 * @throws PkiError
 */
export async function withLedger<T>(options: LedgerOptions, work: (store: Store) => Promise<T>): Promise<T> {
  return withDatabase(options, async ({ databaseUrl, ledgerKey }) => {
    const store = await openStore({ databaseUrl, ledgerKey: new LedgerKey(ledgerKey), pool: 2 });
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  });
}

/**
 * The same for who opens it himself.
 * @param work is told the data folder of a running `fleetroot up`, where it is that one's ledger
 * @throws PkiError
 */
export async function withDatabase<T>({ dataDir }: LedgerOptions, work: (config: LedgerConfig, running: DataDir | undefined) => Promise<T>): Promise<T> {
  if (dataDir === undefined) return work(readConfig(['databaseUrl', 'ledgerKey']), undefined);
  const dir = dataDirAt(dataDir);
  if (!isInitialised(dir)) throw new PkiError('setup.failed', `${dir.path} is no data folder of Fleetroot; name one with --data-dir, or none with --environment`);
  if (lockHolder(dir.lock) !== undefined) return work(configOf(dir), dir);
  if (!existsSync(dir.secret('postgres-admin.password'))) return work(configOf(dir), undefined);
  const release = takeLock(dir.lock);
  try {
    const database = await embeddedDatabase(dir, { onNotice: () => undefined, onLost: () => undefined });
    try {
      return await work(configOf(dir), undefined);
    } finally {
      await database.stop();
    }
  } finally {
    release();
  }
}

function configOf(dir: DataDir): LedgerConfig {
  return readConfig(['databaseUrl', 'ledgerKey'], {
    [variableOf('databaseUrl')]: dir.secret('database-url'), [variableOf('ledgerKey')]: dir.secret('ledger-key'),
  });
}
