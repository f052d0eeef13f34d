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

/**
 * Opens the ledger for one administrative command and closes it behind it. With a data folder: that of a running
 * `fleetroot up`, or else its PostgreSQL is started for as long as the command takes. Without: the environment's
 * FLEETROOT_DATABASE_URL_FILE and FLEETROOT_LEDGER_KEY_FILE.
 * @throws PkiError
 */
export async function withLedger<T>({ dataDir }: LedgerOptions, work: (store: Store) => Promise<T>): Promise<T> {
  if (dataDir === undefined) return withStore(readConfig(['databaseUrl', 'ledgerKey']), work);
  const dir = dataDirAt(dataDir);
  if (!isInitialised(dir)) throw new PkiError('setup.failed', `${dir.path} is no data folder of Fleetroot; name one with --data-dir, or none with --environment`);
  if (lockHolder(dir.lock) !== undefined || !existsSync(dir.secret('postgres-admin.password'))) return withStore(configOf(dir), work);
  const release = takeLock(dir.lock);
  try {
    const database = await embeddedDatabase(dir, { onNotice: () => undefined, onLost: () => undefined });
    try {
      return await withStore(configOf(dir), work);
    } finally {
      await database.stop();
    }
  } finally {
    release();
  }
}

type LedgerConfig = Config<'databaseUrl' | 'ledgerKey'>;

function configOf(dir: DataDir): LedgerConfig {
  return readConfig(['databaseUrl', 'ledgerKey'], {
    [variableOf('databaseUrl')]: dir.secret('database-url'), [variableOf('ledgerKey')]: dir.secret('ledger-key'),
  });
}

async function withStore<T>({ databaseUrl, ledgerKey }: LedgerConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ databaseUrl, ledgerKey: new LedgerKey(ledgerKey), pool: 2 });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
