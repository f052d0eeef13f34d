import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { BatchResult } from '../rest.ts';
import { wrongUse } from './line-error.ts';

const BLOCK = 256 * 1024;
const LF = 0x0a;

/** What the results are, counted as they are written. */
export class Outcome {
  issued = 0;
  failed = 0;
  /** How many failed, by code. */
  readonly failures = new Map<string, number>();
  /** Of each code, the first ordinals. */
  readonly examples = new Map<string, number[]>();

  static readonly EXAMPLES = 5;

  add(result: BatchResult): void {
    if (result.outcome === 'issued') {
      this.issued += 1;
      return;
    }
    const { code, ordinal } = result;
    this.failed += 1;
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    const examples = this.examples.get(code) ?? [];
    if (examples.length < Outcome.EXAMPLES) this.examples.set(code, [...examples, ordinal]);
  }
}

/**
 * The file of a batch's results: line i is the result of item i, none missing and none twice, whatever process died while
 * it wrote. One writer at a time.
 */
export class OutputFile {
  readonly path: string;
  readonly outcome: Outcome = new Outcome();
  readonly #file: number;
  #next = 0;

  /**
   * Opens it, or goes on with what an earlier run left: a line that was not written to its end is cut off.
   * @throws LineError where it holds something else; then nothing was changed
   */
  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, 'a+');
    try {
      const end = this.#readBack();
      if (end < fstatSync(this.#file).size) ftruncateSync(this.#file, end);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** The ordinal that is wanted next: so many lines are there. */
  get next(): number {
    return this.#next;
  }

  /** Adds whole lines of results, which go on at `next`. @throws Error where they do not; the system's error */
  append(lines: Buffer): void {
    for (const line of splitLines(lines)) this.#take(line, 'the API');
    for (let at = 0; at < lines.length;) at += writeSync(this.#file, lines, at);
  }

  /** Durable on return. */
  close(): void {
    try {
      fsyncSync(this.#file);
    } finally {
      closeSync(this.#file);
    }
  }

  /** Returns where the last whole line ends. */
  #readBack(): number {
    let rest = Buffer.alloc(0);
    let end = 0;
    for (let position = 0; ;) {
      const block = Buffer.allocUnsafe(BLOCK);
      const read = readSync(this.#file, block, 0, BLOCK, position);
      if (read === 0) return end;
      position += read;
      const held = Buffer.concat([rest, block.subarray(0, read)]);
      const whole = held.subarray(0, held.lastIndexOf(LF) + 1);
      for (const line of splitLines(whole)) this.#take(line, this.path);
      end += whole.length;
      rest = held.subarray(whole.length);
    }
  }

  #take(line: Buffer, from: string): void {
    const result = resultOf(line);
    if (result?.ordinal !== this.#next) {
      const found = result === undefined ? 'something else' : `item ${result.ordinal}`;
      const what = `line ${this.#next + 1} of the results from ${from} holds ${found}, and not item ${this.#next}`;
      throw from === this.path ? wrongUse(`${what}: move the file away to have all of it fetched again, or choose another with --output`) : new Error(what);
    }
    this.outcome.add(result);
    this.#next += 1;
  }
}

function resultOf(line: Buffer): BatchResult | undefined {
  try {
    const value = JSON.parse(line.toString('utf8')) as BatchResult | null;
    const known = value !== null && Number.isSafeInteger(value.ordinal) && (value.outcome === 'issued' || (value.outcome === 'failed' && typeof value.code === 'string'));
    return known ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The lines of a buffer that ends with LF, each without it. */
function* splitLines(lines: Buffer): Generator<Buffer> {
  let start = 0;
  for (let end = lines.indexOf(LF); end !== -1; end = lines.indexOf(LF, start)) {
    yield lines.subarray(start, end);
    start = end + 1;
  }
}
