import { join, resolve } from 'node:path';
import { PkiError, systemClock } from '@fleetroot/core';
import { Command } from 'commander';
import { cliActor } from '../ca/actor.ts';
import { dataDirAt } from '../data-dir/layout.ts';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

const DAY_MS = 86_400_000;

interface ArchiveFlags extends LedgerFlags {
  readonly afterDays: string;
  readonly folder?: string;
  readonly json: boolean;
}

export function archiveCommand(): Command {
  return withLedgerFlags(new Command('archive'))
    .description('write certificates that expired long ago to files, then delete them from the ledger')
    .requiredOption('--after-days <n>', 'how long ago they expired, at least')
    .option('--folder <folder>', 'of the files (default: archive in the data folder)', (text) => resolve(text))
    .option('--json', 'for machines', false)
    .action(archive);
}

async function archive(flags: ArchiveFlags): Promise<void> {
  const days = Number(flags.afterDays);
  if (!Number.isSafeInteger(days) || days < 1) throw new PkiError('config.invalid', '--after-days takes a whole number from 1 on');
  const folder = flags.folder ?? (flags.environment ? undefined : dataDirAt(flags.dataDir).archive);
  if (folder === undefined) throw new PkiError('config.invalid', 'say where the files are to be written: --folder');
  const stop = new AbortController();
  // Ctrl-C ends it after the step it is at.
  process.once('SIGINT', () => stop.abort());
  process.once('SIGTERM', () => stop.abort());
  const report = await withLedger(ledgerOf(flags), (store) => {
    const now = systemClock.now();
    return store.archive.run({ folder, before: new Date(now.getTime() - days * DAY_MS), now, actor: cliActor(), signal: stop.signal });
  });
  if (flags.json) {
    console.log(JSON.stringify({ folder, ...report }));
    return;
  }
  for (const file of report.resumed) console.log(`Finished what was begun: ${file}`);
  for (const file of report.files) console.log(`Archived in ${join(folder, file)}`);
  const rows = Object.entries(report.counts).map(([table, count]) => `${count} of ${table}`).join(', ');
  console.log(rows === '' ? 'Nothing more has expired so long ago.' : `Rows: ${rows}.`);
  if (report.partitionsDropped > 0) console.log(`Partitions of years that are over: ${report.partitionsDropped} dropped.`);
}
