import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PkiError } from '@fleetroot/core';
import { encodePem } from '@fleetroot/x509';
import { z } from 'zod';

const hex = z.string().regex(/^(?:[0-9a-f]{2})+$/);
const instant = z.iso.datetime();

/** A CA that was made, in ceremony.json. */
const heldRecord = z.strictObject({
  name: z.string(), parent: z.string().nullable(), keyId: hex, sha256: hex, notBefore: instant, notAfter: instant,
  /** SHA-256 over what the plan said of it: another plan for the same name is noticed. */
  planned: hex,
});

/** What a CA will be made with, on disk before its key exists. */
const intentRecord = z.strictObject({ name: z.string(), basis: hex, keyId: hex, serial: hex, notBefore: instant });

const transcriptRecord = z.strictObject({
  title: z.string(), by: z.string(), began: instant, ended: instant, planSha256: hex,
  token: z.strictObject({ label: z.string(), serial: z.string() }),
  authorities: z.array(z.strictObject({ name: z.string(), keyId: hex, serial: hex, certificateSha256: hex, reusedKey: z.boolean() })),
});

export type HeldRecord = z.infer<typeof heldRecord>;
export type IntentRecord = z.infer<typeof intentRecord>;
export type TranscriptRecord = z.infer<typeof transcriptRecord>;

/**
 * The folder of ceremonies:
 * - `ceremony.json`: the CAs that exist. Only what stands there counts; it is replaced last.
 * - `NAME.cer` (DER), `NAME.pem`: their certificates.
 * - `transcript.json`: who held which ceremony when, with which token, keys and hashes.
 * - `intents.json`: what an unfinished ceremony has begun; absent otherwise.
 * Every file is replaced whole (new file, fsync, rename, fsync of the folder): a reader or a crash finds old or new.
 */
export class CeremonyFolder {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  held(): HeldRecord[] {
    return this.#json('ceremony.json', z.strictObject({ authorities: z.array(heldRecord) }))?.authorities ?? [];
  }

  intents(): IntentRecord[] {
    return this.#json('intents.json', z.array(intentRecord)) ?? [];
  }

  transcripts(): TranscriptRecord[] {
    return this.#json('transcript.json', z.array(transcriptRecord)) ?? [];
  }

  certificate(name: string): Uint8Array | undefined {
    const read = this.#read(`${name}.cer`);
    return read === undefined ? undefined : new Uint8Array(read);
  }

  writeIntents(intents: readonly IntentRecord[]): void {
    this.#write('intents.json', toJson(intents));
  }

  /** Everything of a ceremony that is finished; ceremony.json last, then the intents go. */
  finish(held: readonly HeldRecord[], made: ReadonlyMap<string, Uint8Array>, transcript: TranscriptRecord): void {
    for (const [name, der] of made) {
      this.#write(`${name}.cer`, der);
      this.#write(`${name}.pem`, Buffer.from(encodePem('CERTIFICATE', der)));
    }
    // A run that died just before the next step has told of the same certificates: it never finished, this one does.
    const told = new Set(transcript.authorities.map(({ certificateSha256 }) => certificateSha256));
    const others = this.transcripts().filter(({ authorities }) => !authorities.some((each) => told.has(each.certificateSha256)));
    this.#write('transcript.json', toJson([...others, transcript]));
    this.#write('ceremony.json', toJson({ authorities: held }));
    rmSync(join(this.#dir, 'intents.json'), { force: true });
  }

  #json<T>(name: string, schema: z.ZodType<T>): T | undefined {
    const read = this.#read(name);
    if (read === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(read.toString('utf8')));
    } catch (cause) {
      throw new PkiError('ceremony.invalid', `${join(this.#dir, name)} is damaged: restore it from a backup`, { cause });
    }
  }

  #read(name: string): Buffer | undefined {
    try {
      return readFileSync(join(this.#dir, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #write(name: string, content: Uint8Array): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o755 });
    const path = join(this.#dir, name);
    const fresh = `${path}.new`;
    const file = openSync(fresh, 'w', 0o644);
    try {
      for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(fresh, path);
    const folder = openSync(dirname(path), 'r');
    fsyncSync(folder);
    closeSync(folder);
  }
}

const toJson = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
