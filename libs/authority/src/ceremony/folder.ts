import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PkiError, replaceFile } from '@fleetroot/core';
import { z } from 'zod';
import { sha256Of } from './digest.ts';
import { type CeremonyRecord, ceremonyRecord, type IntentRecord, intentRecord } from './record.ts';

const TRANSCRIPT = /^\d{4,}\.json$/;

/**
 * The folder of ceremonies:
 * - `ceremony.json`: what exists. Only what stands there counts; it is replaced last.
 * - `NAME.cer` (DER) and `NAME.pem`: certificates of CAs. `NAME.2.cer`: of the same key, renewed. `NAME-by-ISSUER.cer`:
 *   cross-certificates. `ISSUER.ocsp-signer.cer`: OCSP signers. `NAME.csr` (PEM): requests. `NAME-NUMBER.crl` (DER): CRLs.
 * - `transcripts/NNNN.json`: who held which ceremony when, with which token, keys and hashes; `transcript.json` is its
 *   forerunner, which older releases wrote.
 * - `intents.json`: what an unfinished ceremony has begun; absent otherwise.
 * Every file is replaced whole (new file, fsync, rename, fsync of the folder): a reader or a crash finds old or new.
 */
export class CeremonyFolder {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  record(): CeremonyRecord {
    return this.#json('ceremony.json', ceremonyRecord) ?? ceremonyRecord.parse({});
  }

  writeRecord(record: CeremonyRecord): void {
    this.write('ceremony.json', toJson(record));
  }

  intents(): IntentRecord[] {
    return this.#json('intents.json', z.array(intentRecord)) ?? [];
  }

  /** None: the file goes. */
  writeIntents(intents: readonly IntentRecord[]): void {
    if (intents.length > 0) this.write('intents.json', toJson(intents));
    else rmSync(join(this.dir, 'intents.json'), { force: true });
  }

  /** The files of the transcripts, in the order of their numbers. */
  transcripts(): string[] {
    const path = join(this.dir, 'transcripts');
    const names = withPath(path, () => (statSync(path, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(path)));
    return names.filter((name) => TRANSCRIPT.test(name)).map((name) => `transcripts/${name}`).sort((a, b) => numberOf(a) - numberOf(b));
  }

  /** The last transcript, with its number; undefined: there is none. */
  lastTranscript(): { readonly number: number; readonly file: string; readonly content: Uint8Array } | undefined {
    const file = this.transcripts().at(-1);
    return file === undefined ? undefined : { number: numberOf(file), file, content: this.read(file) ?? new Uint8Array(0) };
  }

  writeTranscript(number: number, content: Uint8Array): void {
    this.write(`transcripts/${String(number).padStart(4, '0')}.json`, content);
  }

  /** A file that is on record. @throws PkiError `ceremony.invalid` where it is not the one on record */
  recorded({ file, sha256 }: { readonly file: string; readonly sha256: string }): Uint8Array {
    const content = this.read(file);
    if (content !== undefined && sha256Of(content) === sha256) return content;
    throw new PkiError('ceremony.invalid', `${join(this.dir, file)} is missing or not the one on record: restore it from a backup`);
  }

  /** undefined: it does not exist. */
  read(name: string): Uint8Array | undefined {
    const path = join(this.dir, name);
    const found = withPath(path, () => statSync(path, { throwIfNoEntry: false }));
    if (found === undefined) return undefined;
    // The folder may be somebody else's: a pipe or a device would hold the reader for ever.
    if (!found.isFile()) throw new PkiError('ceremony.invalid', `${path} is not a file: restore it from a backup`);
    return withPath(path, () => new Uint8Array(readFileSync(path)));
  }

  /** Durable on return. */
  write(name: string, content: Uint8Array): void {
    const path = join(this.dir, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    replaceFile(path, content, 0o644);
  }

  #json<T>(name: string, schema: z.ZodType<T>): T | undefined {
    const read = this.read(name);
    if (read === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(Buffer.from(read).toString('utf8')));
    } catch (cause) {
      throw new PkiError('ceremony.invalid', `${join(this.dir, name)} is damaged: restore it from a backup`, { cause });
    }
  }
}

const numberOf = (file: string): number => Number.parseInt(file.slice('transcripts/'.length), 10);

/** @throws PkiError `ceremony.invalid` with the path, where the system refuses to read it */
function withPath<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new PkiError('ceremony.invalid', `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`, { cause });
  }
}

const toJson = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
