import { resolve } from 'node:path';
import type { Command } from 'commander';
import { defaultDataDir } from './checkout.ts';
import type { LedgerOptions } from './ledger.ts';

export interface LedgerFlags {
  readonly dataDir: string;
  readonly environment: boolean;
}

/** How a command is told which ledger is meant. */
export function withLedgerFlags(command: Command): Command {
  return command
    .option('--data-dir <folder>', 'of `fleetroot up`', (text) => resolve(text), defaultDataDir)
    .option('--environment', 'take the database from the environment instead', false);
}

export function ledgerOf({ dataDir, environment }: LedgerFlags): LedgerOptions {
  return environment ? {} : { dataDir };
}
