import { Client } from 'pg';
import { PkiError, type Secret } from '@fleetroot/core';
import { appendEvent } from '../audit-log.ts';
import type { Database } from '../database.ts';
import { storeError } from '../errors.ts';
import { archiveName, checkArchive, prepareFolder, readArchive, writeArchive, writeManifest } from './file.ts';
import { type ArchivedRow, type ArchivedTable, deletion, linesOfBatches, registrationLines } from './lines.ts';
import { expiredBatches } from './units.ts';

export interface ArchiveRun {
  /** Where the files go; made where it is missing. */
  readonly folder: string;
  /** What expired before it is archived and deleted; first connections from before it as well. In the past. */
  readonly before: Date;
  /** The actor of the audit events. */
  readonly actor: string;
  readonly now: Date;
  /** Certificates of a file, about: a batch is never divided. Default: 50,000. */
  readonly fileRows?: number;
  /** Ends the run after the step it is at; the next run goes on. */
  readonly signal?: AbortSignal;
}

export interface ArchiveReport {
  /** Written by this run, in order. */
  readonly files: readonly string[];
  /** Rows that this run wrote and deleted, by table; those of a run before that it finished are not in it. */
  readonly counts: Readonly<Partial<Record<ArchivedTable, number>>>;
  /** Files of a run before whose rows it has deleted. */
  readonly resumed: readonly string[];
  /** Partitions of years that have nothing left. */
  readonly partitionsDropped: number;
}

interface FileRow {
  readonly id: number;
  readonly file: string;
  readonly sha256: Buffer;
  readonly deleted_at: Date | null;
}

const FILE_ROWS = 50_000;
/** Rows that one transaction deletes. */
const DELETE_ROWS = 500;
/** Held while archiving: "archive" in ASCII. */
const LOCK = 0x61_7263_6869_7665n;
/** Years that are never without their partition. */
const YEARS_AHEAD = 3;

/** What of the ledger has ended: partitions ahead, and the archive of what expired long ago. */
export class LedgerArchive {
  readonly #database: Database;
  readonly #databaseUrl: Secret;

  constructor(database: Database, databaseUrl: Secret) {
    this.#database = database;
    this.#databaseUrl = databaseUrl;
  }

  /** Makes the partitions of `now`'s year and the three after it where they are missing; how many it made. */
  async addPartitions(now: Date): Promise<number> {
    const year = now.getUTCFullYear();
    const [row] = await this.#database.query<{ made: number }>('SELECT add_certificate_partitions($1, $2) AS made', [year, year + YEARS_AHEAD]);
    return row?.made ?? 0;
  }

  /**
   * Writes what expired before `before` to files and deletes it from the ledger: each file is whole and on disk, and its
   * hash with an audit event in the ledger, before a row of it is deleted. It may be killed anywhere: the next run removes
   * files that are on no record, deletes what is left of one that is, and goes on.
   * @throws PkiError `archive.busy` while another process archives; `archive.damaged`; `config.invalid`; `store.unavailable`
   */
  async run(run: ArchiveRun): Promise<ArchiveReport> {
    if (run.before >= run.now) throw new PkiError('config.invalid', 'only what has expired can be archived');
    const lock = new Client({ connectionString: this.#databaseUrl.reveal(), connectionTimeoutMillis: 5000, keepAlive: true });
    // Without its connection the lock is gone: nothing is begun after that.
    const lost = new AbortController();
    lock.on('error', () => lost.abort());
    lock.on('end', () => lost.abort());
    try {
      await lock.connect();
      const { rows: [taken] } = await lock.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [String(LOCK)]);
      if (taken?.taken !== true) throw new PkiError('archive.busy');
      const signal = AbortSignal.any([lost.signal, ...(run.signal === undefined ? [] : [run.signal])]);
      return await this.#locked(run, signal);
    } catch (error) {
      throw storeError(error);
    } finally {
      await lock.end().catch(() => undefined);
    }
  }

  async #locked(run: ArchiveRun, signal: AbortSignal): Promise<ArchiveReport> {
    const known = await this.#files();
    await prepareFolder(run.folder, new Set(known.map(({ file }) => file)));
    const resumed: string[] = [];
    for (const file of known.filter(({ deleted_at }) => deleted_at === null)) {
      if (signal.aborted) break;
      if (await this.#delete(run.folder, file, signal)) resumed.push(file.file);
    }
    if (known.length > 0) await writeManifest(run.folder, known.map(({ file, sha256 }) => ({ name: file, sha256 })));
    const files: string[] = [];
    const counts: Partial<Record<ArchivedTable, number>> = {};
    for await (const rows of this.#portions(run.before, run.fileRows ?? FILE_ROWS)) {
      if (signal.aborted) break;
      const written = await this.#write(run, rows);
      if (written === undefined) continue;
      if (!(await this.#delete(run.folder, written.row, signal))) break;
      files.push(written.row.file);
      for (const [table, count] of Object.entries(written.counts)) counts[table as ArchivedTable] = (counts[table as ArchivedTable] ?? 0) + count;
    }
    const partitionsDropped = signal.aborted ? 0 : await this.#dropPartitions(run.now);
    return { files, counts, resumed, partitionsDropped };
  }

  #files(): Promise<readonly FileRow[]> {
    return this.#database.query<FileRow>('SELECT id, file, sha256, deleted_at FROM archive ORDER BY id');
  }

  /** The rows of one file each. */
  async *#portions(before: Date, fileRows: number): AsyncIterable<AsyncIterable<ArchivedRow>> {
    let [batches, items]: [string[], number] = [[], 0];
    for await (const ids of expiredBatches(this.#database, before)) {
      for (const { id, items: count } of await this.#sizes(ids)) {
        batches.push(id);
        items += count;
        if (items < fileRows) continue;
        yield linesOfBatches(this.#database, [...new Set(batches)]);
        [batches, items] = [[], 0];
      }
    }
    if (batches.length > 0) yield linesOfBatches(this.#database, [...new Set(batches)]);
    yield this.#registrations(before);
  }

  #sizes(batchIds: readonly string[]): Promise<readonly { readonly id: string; readonly items: number }[]> {
    // A batch that an earlier file of this run held is gone.
    return this.#database.query('SELECT id, items FROM batch WHERE id = ANY($1::uuid[]) ORDER BY completed_at, id', [batchIds]);
  }

  async *#registrations(before: Date): AsyncIterable<ArchivedRow> {
    for (let after = 0n; ;) {
      const { lines, last } = await registrationLines(this.#database, before, after, DELETE_ROWS);
      yield* lines;
      if (last === undefined) return;
      after = last;
    }
  }

  /** A file, then in one transaction its record and its audit event. */
  async #write(run: ArchiveRun, rows: AsyncIterable<ArchivedRow>): Promise<{ readonly row: FileRow; readonly counts: Readonly<Record<string, number>> } | undefined> {
    const [next] = await this.#database.query<{ number: number }>('SELECT coalesce(max(id), 0) + 1 AS number FROM archive');
    const file = await writeArchive(run.folder, archiveName(run.now, next?.number ?? 1), rows);
    if (file === undefined) return undefined;
    const row = await this.#database.transaction(async (tx) => {
      const [added] = await tx.query<FileRow>(
        `INSERT INTO archive (file, sha256, bytes, counts, written_at) VALUES ($1, $2, $3, $4, clock_timestamp()) RETURNING id, file, sha256, deleted_at`,
        [file.name, file.sha256, file.bytes, JSON.stringify(file.counts)]);
      if (added === undefined) throw new PkiError('internal', 'an archive was not put on record');
      await appendEvent(tx, {
        action: 'ledger.archived', actor: run.actor, at: run.now, subject: `archive:${file.name}`,
        data: { sha256: Buffer.from(file.sha256).toString('hex'), bytes: file.bytes, rows: { ...file.counts }, before: run.before.toISOString() },
      });
      return added;
    });
    await writeManifest(run.folder, (await this.#files()).map(({ file: name, sha256 }) => ({ name, sha256 })));
    return { row, counts: file.counts };
  }

  /** Deletes what the file holds, as the file itself says, some hundred rows at a time. false: aborted before the end. */
  async #delete(folder: string, { id, file, sha256 }: FileRow, signal: AbortSignal): Promise<boolean> {
    await checkArchive(folder, file, sha256);
    for await (const { table, lines } of readArchive(folder, file, DELETE_ROWS)) {
      if (signal.aborted) return false;
      const { text, values } = deletion(table, lines);
      await this.#database.query(text, values);
    }
    await this.#database.query('UPDATE archive SET deleted_at = clock_timestamp() WHERE id = $1', [id]);
    return true;
  }

  async #dropPartitions(now: Date): Promise<number> {
    const [row] = await this.#database.query<{ dropped: number }>('SELECT drop_certificate_partitions($1) AS dropped', [now.getUTCFullYear()]);
    return row?.dropped ?? 0;
  }
}
