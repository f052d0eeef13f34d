import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { DigestChain } from './digest-chain.ts';
import { wrongUse } from './line-error.ts';

/** Where a part may begin: so many items lie before `offset`, and their digest is `digest`. */
interface Mark {
  readonly item: number;
  /** In octets. */
  readonly offset: number;
  /** Lines before it, empty ones included. */
  readonly lines: number;
  readonly digest: string;
}

export interface PartLimits {
  readonly items: number;
  readonly octets: number;
}

/** What one PATCH carries. */
export interface Part {
  readonly items: number;
  /** Lines that end with LF, without empty ones. */
  readonly body: Buffer;
}

/** A part is sent again from its last whole chunk where a connection breaks, and is held in memory. */
const PART_LIMITS: PartLimits = { items: 5_000, octets: 8 * 1024 * 1024 };

/** Longest line that the API takes, in octets. */
const MAX_LINE = 128 * 1024;
const BLOCK = 1024 * 1024;
const LF = 0x0a;
const CR = 0x0d;

const changed = (path: string): Error => wrongUse(`${path} was changed while it was being read: give the command again once it is complete`);

/** A file of items that was read once from end to end; memory holds its marks alone. */
export class ItemsFile {
  readonly path: string;
  readonly items: number;
  /** Of all its lines, in hex. */
  readonly digest: string;
  readonly #marks: readonly Mark[];

  private constructor(path: string, marks: readonly Mark[]) {
    const end = marks.at(-1);
    this.path = path;
    this.#marks = marks;
    this.items = end?.item ?? 0;
    this.digest = end?.digest ?? '';
  }

  /**
   * Reads the file and checks the form of each line, so that what the API would refuse is told before anything is sent.
   * @throws LineError that names the line at fault
   */
  static read(path: string, limits: PartLimits = PART_LIMITS): ItemsFile {
    const chain = new DigestChain();
    const marks: Mark[] = [{ item: 0, offset: 0, lines: 0, digest: chain.hex }];
    let item = 0;
    let at = { item: 0, offset: 0 };
    for (const { line, number, begin, end } of linesOf(path, 0)) {
      if (item > at.item && (item - at.item >= limits.items || end - at.offset > limits.octets)) {
        marks.push({ item, offset: begin, lines: number - 1, digest: chain.hex });
        at = { item, offset: begin };
      }
      checkForm(line, number, path);
      chain.push(line);
      item += 1;
    }
    if (item === 0) throw wrongUse(`${path} has no item`);
    marks.push({ item, offset: Number.MAX_SAFE_INTEGER, lines: 0, digest: chain.hex });
    return new ItemsFile(path, marks);
  }

  /** The digest of the first `item` items. @throws LineError where the file has changed since it was read */
  digestAt(item: number): string {
    const { mark } = this.#around(item);
    const chain = new DigestChain(mark.digest);
    if (item === mark.item) return chain.hex;
    let next = mark.item;
    for (const { line } of linesOf(this.path, mark.offset)) {
      chain.push(line);
      next += 1;
      if (next === item) return chain.hex;
    }
    throw changed(this.path);
  }

  /** The items from `from` up to the next mark. @throws LineError where the file has become shorter since it was read */
  part(from: number): Part {
    const { mark, after } = this.#around(from);
    const pieces: Buffer[] = [];
    const newline = Buffer.of(LF);
    let item = mark.item;
    for (const { line } of linesOf(this.path, mark.offset)) {
      if (item >= after.item) break;
      // The lines are views of a block that is read over.
      if (item >= from) pieces.push(Buffer.from(line), newline);
      item += 1;
    }
    if (item < after.item) throw changed(this.path);
    return { items: after.item - from, body: Buffer.concat(pieces) };
  }

  /** The number of the line that holds item `from` + `line` - 1: where the API counts from the beginning of a part. */
  lineNumber(item: number): number {
    const { mark } = this.#around(Math.min(item, this.items - 1));
    let next = mark.item;
    for (const { number } of linesOf(this.path, mark.offset)) {
      if (next === item) return mark.lines + number;
      next += 1;
    }
    return item + 1;
  }

  /** The lines of these items, each with its LF; `ordinals` grow. */
  *lines(ordinals: Iterable<number>): Generator<Buffer> {
    const wanted = ordinals[Symbol.iterator]();
    let next = wanted.next();
    let item = 0;
    for (const { line } of linesOf(this.path, 0)) {
      if (next.done === true) return;
      if (item === next.value) {
        yield Buffer.concat([line, Buffer.of(LF)]);
        next = wanted.next();
      }
      item += 1;
    }
    if (next.done !== true) throw changed(this.path);
  }

  #around(item: number): { readonly mark: Mark; readonly after: Mark } {
    let low = 0;
    for (let high = this.#marks.length - 2; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#marks[middle]?.item ?? 0) <= item) low = middle;
      else high = middle - 1;
    }
    const [mark, after] = [this.#marks[low], this.#marks[low + 1]];
    if (mark === undefined || after === undefined || item < 0 || item >= this.items) throw new RangeError(`item ${item} is not in ${this.path}`);
    return { mark, after };
  }
}

interface FileLine {
  /** Without LF, or CR LF; a view that holds until the next line. */
  readonly line: Buffer;
  /** From 1, counted from where the reading began. */
  readonly number: number;
  /** Where it begins, and where the next one does. */
  readonly begin: number;
  readonly end: number;
}

/** The lines from `offset` on, without empty ones. Reads by blocks; memory holds one block. */
function* linesOf(path: string, offset: number): Generator<FileLine> {
  const file = openSync(path, 'r');
  try {
    if (!fstatSync(file).isFile()) throw wrongUse(`${path} is no file: a batch is read more than once; give "-" to send what standard input holds`);
    const block = Buffer.allocUnsafe(BLOCK + MAX_LINE);
    let held = 0;
    let position = offset;
    let number = 0;
    for (;;) {
      const read = readSync(file, block, held, BLOCK, position + held);
      const full = held + read;
      const filled = block.subarray(0, full);
      let start = 0;
      for (let stop = filled.indexOf(LF); stop !== -1; stop = filled.indexOf(LF, start)) {
        number += 1;
        const line = trimmed(block.subarray(start, stop));
        if (line.length > 0) yield { line, number, begin: position + start, end: position + stop + 1 };
        start = stop + 1;
      }
      if (read === 0) {
        const line = trimmed(block.subarray(start, full));
        if (line.length > 0) yield { line, number: number + 1, begin: position + start, end: position + full };
        return;
      }
      held = full - start;
      if (held > MAX_LINE) throw wrongUse(`line ${number + 1} of ${path} is longer than ${MAX_LINE} octets`);
      block.copy(block, 0, start, full);
      position += start;
    }
  } finally {
    closeSync(file);
  }
}

const trimmed = (line: Buffer): Buffer => (line.at(-1) === CR ? line.subarray(0, -1) : line);

const FIELDS: readonly string[] = ['ecuSerial', 'vin', 'partNumber', 'lot', 'csr'];

/** As the API checks it; what stands in the fields is judged there. The message repeats nothing of the line. */
function checkForm(line: Buffer, number: number, path: string): void {
  const fault = formFault(line);
  if (fault !== undefined) throw wrongUse(`line ${number} of ${path} ${fault}`);
}

function formFault(line: Buffer): string | undefined {
  if (line.length > MAX_LINE) return `is longer than ${MAX_LINE} octets`;
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return 'is not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is not a JSON object';
  for (const [field, content] of Object.entries(value)) {
    if (!FIELDS.includes(field)) return `has a field that is none of ${FIELDS.join(', ')}`;
    if (typeof content !== 'string') return `has a ${field} that is not a string`;
  }
  return 'csr' in value ? undefined : 'has no csr';
}
