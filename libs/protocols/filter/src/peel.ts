import { placesOf, type Table } from './reader.ts';

/** Keys of one table: four words each. */
export interface Keys {
  readonly words: Uint32Array;
  readonly count: number;
}

/** So many seeds are tried before the table is made a little larger. */
const SEEDS_A_SIZE = 8;
/** A set of different keys needs two or three; with equal keys no seed is ever right. */
const SIZES = 40;
const LARGEST_SEGMENT_BITS = 18;

export interface Solved {
  readonly table: Table;
  /** Of each cell. */
  readonly cells: Uint32Array;
}

/**
 * Cells of which those three that belong to a key give, xored, the key's value. A binary fuse filter (Graf and Lemire,
 * "Binary Fuse Filters: Fast and Smaller Than Xor Filters"): keys are peeled off cells that only they use, and the cells
 * set in the other order.
 * @param seedOf a new seed each time
 * @returns undefined where no seed works, because two keys are equal
 */
export function solve(keys: Keys, valueOf: (place: number, seed: number) => number, seedOf: () => number): Solved | undefined {
  if (keys.count === 0) return { table: { seed: 0, segments: 0, segmentBits: 0 }, cells: new Uint32Array(0) };
  const segmentBits = Math.min(LARGEST_SEGMENT_BITS, Math.max(2, Math.floor(Math.log(keys.count) / Math.log(3.33) + 2.25)));
  const factor = keys.count < 2 ? 4 : Math.max(1.125, 0.875 + (0.25 * Math.log(1e6)) / Math.log(keys.count));
  const least = Math.max(1, Math.ceil((keys.count * factor) / 2 ** segmentBits) - 2);
  for (let more = 0; more < SIZES; more++) {
    for (let attempt = 0; attempt < SEEDS_A_SIZE; attempt++) {
      const table = { seed: seedOf(), segments: least + more, segmentBits };
      const order = peel(keys, table);
      if (order !== undefined) return { table, cells: fill(keys, table, order, (place) => valueOf(place, table.seed)) };
    }
  }
  return undefined;
}

interface Order {
  readonly keys: Uint32Array;
  /** Which of a key's three cells was its own. */
  readonly own: Uint8Array;
}

function peel(keys: Keys, table: Table): Order | undefined {
  const cells = (table.segments + 2) * 2 ** table.segmentBits;
  const uses = new Uint32Array(cells);
  /** Of the keys that use a cell, their numbers xored: of one that is alone, its number. */
  const users = new Uint32Array(cells);
  const at = [0, 0, 0];
  for (let key = 0; key < keys.count; key++) {
    placesOf(table, wordsOf(keys, key), at);
    for (const cell of at) {
      uses[cell] = (uses[cell] ?? 0) + 1;
      users[cell] = (users[cell] ?? 0) ^ key;
    }
  }
  const alone = new Uint32Array(cells);
  let waiting = 0;
  for (let cell = 0; cell < cells; cell++) if (uses[cell] === 1) alone[waiting++] = cell;
  const order = { keys: new Uint32Array(keys.count), own: new Uint8Array(keys.count) };
  let peeled = 0;
  while (waiting > 0) {
    const cell = alone[--waiting] ?? 0;
    if (uses[cell] !== 1) continue;
    const key = users[cell] ?? 0;
    placesOf(table, wordsOf(keys, key), at);
    order.keys[peeled] = key;
    order.own[peeled++] = at.indexOf(cell);
    for (const other of at) {
      users[other] = (users[other] ?? 0) ^ key;
      const left = (uses[other] ?? 0) - 1;
      uses[other] = left;
      if (left === 1) alone[waiting++] = other;
    }
  }
  return peeled === keys.count ? order : undefined;
}

function fill(keys: Keys, table: Table, order: Order, valueOf: (place: number) => number): Uint32Array {
  const cells = new Uint32Array((table.segments + 2) * 2 ** table.segmentBits);
  const at = [0, 0, 0];
  for (let i = keys.count - 1; i >= 0; i--) {
    const key = order.keys[i] ?? 0;
    placesOf(table, wordsOf(keys, key), at);
    const own = at[order.own[i] ?? 0] ?? 0;
    let value = valueOf(key);
    for (const cell of at) if (cell !== own) value ^= cells[cell] ?? 0;
    cells[own] = value;
  }
  return cells;
}

const words = { x0: 0, x1: 0, x2: 0, x3: 0 };

/** The same object each time. */
export function wordsOf(keys: Keys, place: number): Readonly<typeof words> {
  const at = place * 4;
  words.x0 = keys.words[at] ?? 0;
  words.x1 = keys.words[at + 1] ?? 0;
  words.x2 = keys.words[at + 2] ?? 0;
  words.x3 = keys.words[at + 3] ?? 0;
  return words;
}
