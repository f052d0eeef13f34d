import { newOctets, PkiError, type RandomBytes } from '@fleetroot/core';
import { type Keys, solve, type Solved, wordsOf } from './peel.ts';
import { BLOCK_OCTETS, cellsOf, fingerprintOf, placesOf, type Table } from './reader.ts';
import { PART_BITS, type Spool } from './spool.ts';

/** What a block holds about, in keys of its second level: so much memory is needed, and no more, however many there are. */
const BLOCK_KEYS = 2 ** 18;
const MOST_FINGERPRINT_BITS = 24;

export interface Tables {
  readonly fingerprintBits: number;
  readonly blockBits: number;
  readonly body: Uint8Array;
}

/**
 * Tables that say of each serial in the spool, without error, whether it is marked (docs/filter.md). The first level lets
 * every marked serial through and one in 2^bits of the others; the second tells those apart that came through.
 * @param pause is waited for every tenth of a second of work or so
 * @param blockKeys how many keys the second level of a block has at most, about
 */
export async function buildTables(spool: Spool, random: RandomBytes, pause: () => Promise<void>, blockKeys = BLOCK_KEYS): Promise<Tables> {
  const { all, marked } = spool;
  const fingerprintBits = bestBits(marked, all - marked);
  const second = marked + (all - marked) / 2 ** fingerprintBits;
  let blockBits = 0;
  while (blockBits < PART_BITS && second / 2 ** blockBits > blockKeys) blockBits++;
  const count = 2 ** blockBits;
  const parts: Uint8Array[] = [];
  const blocks = Buffer.alloc(count * BLOCK_OCTETS);
  let end = blocks.length;
  const add = (octets: Uint8Array): number => {
    parts.push(octets);
    const at = end;
    end += octets.length;
    return at;
  };
  for (let block = 0; block < count; block++) {
    const { first, second: next } = await buildBlock(spool, { block, blockBits, fingerprintBits }, random, pause);
    const at = block * BLOCK_OCTETS;
    blocks.writeUInt32BE(add(pack(first, fingerprintBits)), at);
    blocks.writeUInt32BE(add(pack(next, 1)), at + 4);
    blocks.writeUInt32BE(first.table.seed, at + 8);
    blocks.writeUInt32BE(next.table.seed, at + 12);
    blocks.writeUInt32BE(first.table.segments, at + 16);
    blocks.writeUInt32BE(next.table.segments, at + 20);
    blocks.writeUInt8(first.table.segmentBits, at + 24);
    blocks.writeUInt8(next.table.segmentBits, at + 25);
  }
  const body = newOctets(end);
  let at = 0;
  for (const part of [blocks, ...parts]) {
    body.set(part, at);
    at += part.length;
  }
  return { fingerprintBits, blockBits, body };
}

/** How many bits a fingerprint has where the whole becomes smallest: marked * (bits + 1) + others / 2^bits cells of a bit. */
export function bestBits(marked: number, others: number): number {
  if (marked === 0) return 0;
  let best = 0;
  const size = (bits: number): number => marked * (bits + 1) + others / 2 ** bits;
  for (let bits = 1; bits <= MOST_FINGERPRINT_BITS; bits++) if (size(bits) < size(best)) best = bits;
  return best;
}

interface Place {
  readonly block: number;
  readonly blockBits: number;
  readonly fingerprintBits: number;
}

const EMPTY: Solved = { table: { seed: 0, segments: 0, segmentBits: 0 }, cells: new Uint32Array(0) };

async function buildBlock(
  spool: Spool, { block, blockBits, fingerprintBits }: Place, random: RandomBytes, pause: () => Promise<void>,
): Promise<{ readonly first: Solved; readonly second: Solved }> {
  const seedOf = (): number => Buffer.from(random(4)).readUInt32BE();
  const total = spool.markedOf(block, blockBits);
  if (total === 0) return { first: EMPTY, second: EMPTY };

  const marked = new Growing(total);
  for (const page of spool.pages(block, blockBits)) {
    for (let i = 0; i < page.count; i++) if (page.marked[i] === 1) marked.add(page.words, i);
    await pause();
  }
  const first = fingerprintBits === 0 ? EMPTY
    : required(marked, (keys) => solve(keys, (key, seed) => fingerprintOf(wordsOf(keys, key), seed, fingerprintBits), seedOf));
  await pause();

  // The second level: the marked, then all others that the first lets through.
  const yes = marked.count;
  const through = { x0: 0, x1: 0, x2: 0, x3: 0 };
  for (const page of spool.pages(block, blockBits)) {
    for (let i = 0; i < page.count; i++) {
      if (page.marked[i] === 1) continue;
      through.x0 = page.words[i * 4] ?? 0;
      through.x1 = page.words[i * 4 + 1] ?? 0;
      through.x2 = page.words[i * 4 + 2] ?? 0;
      through.x3 = page.words[i * 4 + 3] ?? 0;
      if (fingerprintBits === 0 || lets(first, through, fingerprintBits)) marked.add(page.words, i);
    }
    await pause();
  }
  const second = required(marked, (keys, isYes) => solve(keys, (key) => (isYes(key) ? 1 : 0), seedOf), yes);
  await pause();
  return { first, second };
}

const places = [0, 0, 0];

function lets({ table, cells }: Solved, words: { x0: number; x1: number; x2: number; x3: number }, bits: number): boolean {
  placesOf(table, words, places);
  const [a = 0, b = 0, c = 0] = places;
  return ((cells[a] ?? 0) ^ (cells[b] ?? 0) ^ (cells[c] ?? 0)) === fingerprintOf(words, table.seed, bits);
}

/** A ledger that names a serial twice is wrong, and still gets a filter: revoked wins. */
function required(keys: Growing, make: (keys: Keys, isYes: (key: number) => boolean) => Solved | undefined, yes = keys.count): Solved {
  const solved = make(keys, (key) => key < yes);
  if (solved !== undefined) return solved;
  const once = keys.unique();
  const again = make(once, (key) => (once.from[key] ?? 0) < yes);
  if (again === undefined) throw new PkiError('internal', 'no seed gave a filter: that cannot be');
  return again;
}

/** Keys that become more. */
class Growing implements Keys {
  words: Uint32Array;
  count = 0;

  constructor(most: number) {
    this.words = new Uint32Array(4 * Math.max(16, most));
  }

  add(from: Uint32Array, place: number): void {
    if (this.count * 4 === this.words.length) {
      const larger = new Uint32Array(this.words.length * 2);
      larger.set(this.words);
      this.words = larger;
    }
    const at = this.count++ * 4;
    for (let word = 0; word < 4; word++) this.words[at + word] = from[place * 4 + word] ?? 0;
  }

  /** Each key once, in their order, and which it was. */
  unique(): Keys & { readonly from: readonly number[] } {
    const from: number[] = [];
    const seen = new Set<string>();
    for (let key = 0; key < this.count; key++) {
      const text = this.words.subarray(key * 4, key * 4 + 4).join();
      if (!seen.has(text)) from.push(key);
      seen.add(text);
    }
    const words = new Uint32Array(from.length * 4);
    from.forEach((key, place) => words.set(this.words.subarray(key * 4, key * 4 + 4), place * 4));
    return { words, count: from.length, from };
  }
}

/** Cells as the reader finds them: the lowest bit of an octet first. */
function pack({ table, cells }: { readonly table: Table; readonly cells: Uint32Array }, bits: number): Uint8Array {
  const octets = newOctets(Math.ceil((cellsOf(table) * bits) / 8));
  let at = 0;
  let held = 0;
  let had = 0;
  for (const value of cells) {
    // At most 7 + 24 bits.
    held |= value << had;
    for (had += bits; had >= 8; had -= 8) {
      octets[at++] = held & 0xff;
      held >>>= 8;
    }
  }
  if (had > 0) octets[at] = held;
  return octets;
}
