import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PkiError } from '@fleetroot/core';
import { blockOf, type SerialHash } from './reader.ts';

/** log2 of the parts that a spool is kept in, and so of the most blocks a filter may have. */
export const PART_BITS = 8;
const RECORD = 17;
const RECORDS = 1024;

/** Some records of one part: four words of each hash, and whether it is marked. */
export interface SpoolPage {
  readonly words: Uint32Array;
  readonly marked: Uint8Array;
  readonly count: number;
}

interface Part {
  readonly buffer: Buffer;
  filled: number;
  /** Where in the file its full pages begin. */
  readonly pages: number[];
  readonly counts: { all: number; marked: number };
}

/**
 * Hashes of all serials that are known, in a file that has no name: they are gone with the process, whatever becomes of it.
 * In memory there are some octets a thousand records.
 */
export class Spool {
  readonly #file: number;
  readonly #parts: readonly Part[];
  #end = 0;

  /** @throws PkiError `internal` where the folder for temporary files cannot be written to */
  constructor(folder = tmpdir()) {
    try {
      const own = mkdtempSync(join(folder, 'fleetroot-filter-'));
      this.#file = openSync(join(own, 'spool'), 'wx+', 0o600);
      rmSync(own, { recursive: true });
    } catch (cause) {
      throw new PkiError('internal', `no temporary file for a filter in ${folder}: free some space there, or set TMPDIR`, { cause });
    }
    this.#parts = Array.from({ length: 2 ** PART_BITS }, () => ({ buffer: Buffer.alloc(RECORD * RECORDS), filled: 0, pages: [], counts: { all: 0, marked: 0 } }));
  }

  add(hash: SerialHash, marked: boolean): void {
    const part = this.#parts[blockOf(hash, PART_BITS)];
    if (part === undefined) return;
    const { buffer, counts } = part;
    const at = part.filled * RECORD;
    buffer.writeUInt32LE(hash.x0, at);
    buffer.writeUInt32LE(hash.x1, at + 4);
    buffer.writeUInt32LE(hash.x2, at + 8);
    buffer.writeUInt32LE(hash.x3, at + 12);
    buffer[at + 16] = marked ? 1 : 0;
    counts.all++;
    if (marked) counts.marked++;
    if (++part.filled === RECORDS) this.#flush(part);
  }

  get all(): number {
    return this.#parts.reduce((sum, { counts }) => sum + counts.all, 0);
  }

  get marked(): number {
    return this.#parts.reduce((sum, { counts }) => sum + counts.marked, 0);
  }

  /** How many of a block are marked, of 2^bits. */
  markedOf(block: number, bits: number): number {
    return this.#of(block, bits).reduce((sum, { counts }) => sum + counts.marked, 0);
  }

  /** The records of a block. A page is good until the next one is asked for. */
  * pages(block: number, bits: number): Generator<SpoolPage> {
    const from = Buffer.alloc(RECORD * RECORDS);
    const page = { words: new Uint32Array(4 * RECORDS), marked: new Uint8Array(RECORDS), count: 0 };
    for (const { buffer, filled, pages } of this.#of(block, bits)) {
      for (const at of pages) {
        for (let had = 0; had < from.length;) {
          const more = readSync(this.#file, from, had, from.length - had, at + had);
          if (more === 0) throw new PkiError('internal', 'the temporary file of a filter is shorter than it was');
          had += more;
        }
        yield unpack(from, RECORDS, page);
      }
      if (filled > 0) yield unpack(buffer, filled, page);
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  #of(block: number, bits: number): readonly Part[] {
    const each = 2 ** (PART_BITS - bits);
    return this.#parts.slice(block * each, (block + 1) * each);
  }

  #flush(part: Part): void {
    for (let had = 0; had < part.buffer.length;) {
      try {
        had += writeSync(this.#file, part.buffer, had, part.buffer.length - had, this.#end + had);
      } catch (cause) {
        throw new PkiError('internal', 'the temporary file of a filter cannot be written: free some space, or set TMPDIR', { cause });
      }
    }
    part.pages.push(this.#end);
    this.#end += part.buffer.length;
    part.filled = 0;
  }
}

function unpack(buffer: Buffer, count: number, page: { words: Uint32Array; marked: Uint8Array; count: number }): SpoolPage {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  for (let i = 0; i < count; i++) {
    const at = i * RECORD;
    for (let word = 0; word < 4; word++) page.words[i * 4 + word] = view.getUint32(at + word * 4, true);
    page.marked[i] = buffer[at + 16] ?? 0;
  }
  page.count = count;
  return page;
}
