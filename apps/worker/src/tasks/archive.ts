import { type Clock, isPkiError, PkiError } from '@fleetroot/core';
import type { LedgerArchive } from '@fleetroot/store';
import type { Logger } from '@fleetroot/telemetry';
import type { Task } from '../task.ts';

const EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

export interface ArchiveRule {
  readonly folder: string;
  readonly afterDays: number;
}

/**
 * The rule of the settings; undefined: archive nothing.
 * @throws PkiError `config.invalid`
 */
export function archiveRule(afterDays: number, folder: string | undefined): ArchiveRule | undefined {
  if (afterDays === 0) return undefined;
  if (!Number.isSafeInteger(afterDays) || afterDays < 0) throw new PkiError('config.invalid', 'FLEETROOT_ARCHIVE_AFTER_DAYS takes a whole number of days; 0: never');
  if (folder === undefined) throw new PkiError('config.invalid', 'FLEETROOT_ARCHIVE_DIR must name a folder where FLEETROOT_ARCHIVE_AFTER_DAYS is not 0');
  return { folder, afterDays };
}

/** Moves what expired so long ago from the ledger into archive files. */
export function archiveTask(archive: Pick<LedgerArchive, 'run'>, { folder, afterDays }: ArchiveRule, clock: Clock, logger: Logger): Task {
  return {
    name: 'archive', everyMs: EVERY_MS, runsOn: 'leader',
    async run(signal) {
      const now = clock.now();
      try {
        const { files, counts, resumed, partitionsDropped } = await archive.run({
          folder, before: new Date(now.getTime() - afterDays * DAY_MS), now, actor: 'system:worker', signal,
        });
        if (files.length + resumed.length + partitionsDropped > 0) logger.info({ files, rows: counts, resumed, partitionsDropped }, 'expired certificates were archived');
      } catch (error) {
        // A command does it at this moment.
        if (!isPkiError(error) || error.code !== 'archive.busy') throw error;
      }
    },
  };
}
