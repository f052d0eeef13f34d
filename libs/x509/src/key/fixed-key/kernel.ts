import { at } from './at.ts';
import { difference, type Element, LIMBS, multiply, square } from './field-code.ts';
import { type Code, FunctionBody, i32, lanes, moduleOctets, valueType } from './wasm.ts';

/** Octets of an element in memory, in both lanes. */
export const ELEMENT_OCTETS = LIMBS * 16;
/** Of a point: x, then y. */
export const POINT_OCTETS = 2 * ELEMENT_OCTETS;
/** Of a point of a table, which has one lane. */
export const TABLE_POINT_OCTETS = POINT_OCTETS / 2;

/**
 * What is exported. Arguments are addresses in the memory, multiples of 16, and counts of at least 1. Elements are in
 * Montgomery's form; each lane is for itself.
 */
export interface Kernel {
  /** out = a * b. */
  multiply(out: number, a: number, b: number): void;
  /** a = a^(2^times). */
  squareTimes(a: number, times: number): void;
  /** Points of tables, by a list of two addresses each, one a lane; the lowest bit of an address: the opposite point. */
  gather(list: number, out: number, count: number): void;
  /** Multiplies `product` by x(b[i]) - x(a[i]) for all points in turn, and writes what it was before each to `prefixes`. */
  products(a: number, b: number, prefixes: number, count: number, product: number): void;
  /** a[i] += b[i], from the prefixes and 1 / product of `products`; for points of different x. */
  addAll(a: number, b: number, prefixes: number, count: number, inverse: number): void;
}

const load = (f: FunctionBody, address: Code, offset = 0): Element =>
  Array.from({ length: LIMBS }, (_, i) => f.let(lanes.load(offset + 16 * i, address)));

function store(f: FunctionBody, address: Code, element: Element, offset = 0): void {
  for (const [i, limb] of element.entries()) f.emit(lanes.store(offset + 16 * i, address, limb));
}

function assignAll(f: FunctionBody, to: Element, from: Element): void {
  for (const [i, limb] of from.entries()) f.assign(at(to, i), limb);
}

const advance = (f: FunctionBody, address: Code, octets: number): void => f.assign(address, i32.add(address, i32.constant(octets)));

function multiplyFunction(): FunctionBody {
  const f = new FunctionBody('multiply', 3);
  const [out, a, b] = f.parameters as [Code, Code, Code];
  store(f, out, multiply(f, load(f, a), load(f, b)));
  return f;
}

function squareTimesFunction(): FunctionBody {
  const f = new FunctionBody('squareTimes', 2);
  const [a, times] = f.parameters as [Code, Code];
  const value = load(f, a);
  f.repeat(times, () => assignAll(f, value, square(f, value)));
  store(f, a, value);
  return f;
}

function gatherFunction(): FunctionBody {
  const f = new FunctionBody('gather', 3);
  const [list, out, count] = f.parameters as [Code, Code, Code];
  f.repeat(count, () => {
    const [entry1, entry2] = [0, 4].map((offset) => f.variable(valueType.i32, i32.load(offset, list))) as [Code, Code];
    const [first, second] = [entry1, entry2].map((entry) => f.variable(valueType.i32, i32.and(entry, i32.constant(-2)))) as [Code, Code];
    // Bit 63 of a double is its sign.
    const sign = f.let(lanes.shiftLeft(lanes.of(entry1, entry2), 63));
    for (let i = 0; i < 2 * LIMBS; i++) {
      const limb = lanes.loadSecond(8 * i, second, lanes.loadFirst(8 * i, first));
      f.emit(lanes.store(16 * i, out, i < LIMBS ? limb : lanes.xor(limb, sign)));
    }
    advance(f, list, 8);
    advance(f, out, POINT_OCTETS);
  });
  return f;
}

function productsFunction(): FunctionBody {
  const f = new FunctionBody('products', 5);
  const [a, b, prefixes, count, product] = f.parameters as [Code, Code, Code, Code, Code];
  const value = load(f, product);
  f.repeat(count, () => {
    store(f, prefixes, value);
    assignAll(f, value, multiply(f, value, difference(f, load(f, b), load(f, a))));
    advance(f, a, POINT_OCTETS);
    advance(f, b, POINT_OCTETS);
    advance(f, prefixes, ELEMENT_OCTETS);
  });
  store(f, product, value);
  return f;
}

function addAllFunction(): FunctionBody {
  const f = new FunctionBody('addAll', 5);
  const [a, b, prefixes, count, inverse] = f.parameters as [Code, Code, Code, Code, Code];
  for (const [address, octets] of [[a, POINT_OCTETS], [b, POINT_OCTETS], [prefixes, ELEMENT_OCTETS]] as const) {
    f.assign(address, i32.add(address, i32.mul(count, i32.constant(octets))));
  }
  const rest = load(f, inverse);
  f.repeat(count, () => {
    advance(f, a, -POINT_OCTETS);
    advance(f, b, -POINT_OCTETS);
    advance(f, prefixes, -ELEMENT_OCTETS);
    const [x1, y1, x2, y2] = [load(f, a), load(f, a, ELEMENT_OCTETS), load(f, b), load(f, b, ELEMENT_OCTETS)];
    const reciprocal = multiply(f, rest, load(f, prefixes));
    assignAll(f, rest, multiply(f, rest, difference(f, x2, x1)));
    const slope = multiply(f, reciprocal, difference(f, y2, y1));
    const x = square(f, slope, x1, x2);
    const y = multiply(f, slope, difference(f, x1, x), y1);
    store(f, a, x);
    store(f, a, y, ELEMENT_OCTETS);
  });
  return f;
}

/** The module, function by function: between two of them it yields. */
export function* kernelOctets(): Generator<undefined, Uint8Array> {
  const functions: FunctionBody[] = [];
  for (const make of [multiplyFunction, squareTimesFunction, gatherFunction, productsFunction, addAllFunction]) {
    functions.push(make());
    yield;
  }
  return moduleOctets(functions);
}
