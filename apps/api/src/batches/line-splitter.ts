import { PkiError } from '@fleetroot/core';

/** Longest line of a batch, in octets: a request of the largest key, in PEM, takes a tenth of it. */
export const MAX_LINE = 128 * 1024;

const LF = 0x0a;
const CR = 0x0d;

/**
 * Splits a stream into lines (LF, or CR LF) whatever its chunks. A line that lies within a chunk is not copied: it is a
 * view that holds until the next `push`. Empty lines are left out, and counted.
 */
export class LineSplitter {
  /** Pieces of a line that began in an earlier chunk. */
  #pieces: Buffer[] = [];
  #held = 0;
  #number = 0;

  /** Number of the line that was given last, from 1. */
  get number(): number {
    return this.#number;
  }

  /** The lines that end in `chunk`. @throws PkiError `batch.line-too-large` */
  *push(chunk: Buffer): Generator<Buffer> {
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      const line = this.#take(chunk.subarray(start, end));
      start = end + 1;
      if (line.length > 0) yield line;
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
  }

  /** The last line, where the stream does not end with LF. */
  *end(): Generator<Buffer> {
    if (this.#held === 0) return;
    const line = this.#take(Buffer.alloc(0));
    if (line.length > 0) yield line;
  }

  #hold(piece: Buffer): void {
    this.#held += piece.length;
    this.#checkLength(this.#held, this.#number + 1);
    this.#pieces.push(piece);
  }

  #take(last: Buffer): Buffer {
    this.#number++;
    this.#checkLength(this.#held + last.length, this.#number);
    const line = this.#held === 0 ? last : Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#held = 0;
    return line.at(-1) === CR ? line.subarray(0, -1) : line;
  }

  #checkLength(length: number, line: number): void {
    if (length > MAX_LINE) {
      throw new PkiError('batch.line-too-large', `line ${line} is longer than ${MAX_LINE} octets`, { data: { line, limit: MAX_LINE } });
    }
  }
}
