/** Octets of an instruction sequence that leaves one value on the stack, or none. */
export type Code = readonly number[];

/** What a parameter or local holds (WebAssembly core specification, value types). */
export const valueType = { i32: 0x7f, v128: 0x7b } as const;
type ValueType = (typeof valueType)[keyof typeof valueType];

/** Unsigned LEB128, as the binary format writes every number that is no constant. */
function unsigned(value: number): number[] {
  return value > 0x7f ? [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)] : [value];
}

/** Signed LEB128. */
function signed(value: number): number[] {
  return value < -64 || value > 63 ? [(value & 0x7f) | 0x80, ...signed(value >> 7)] : [value & 0x7f];
}

const joined = (...parts: readonly Code[]): number[] => ([] as number[]).concat(...parts);
const vector = (items: readonly Code[]): number[] => joined(unsigned(items.length), ...items);
const section = (id: number, content: Code): number[] => joined([id], unsigned(content.length), content);
const text = (value: string): number[] => [...unsigned(value.length), ...Buffer.from(value, 'latin1')];

const plain = (opcode: number) => (...operands: Code[]): Code => joined(...operands, [opcode]);
const simd = (opcode: number) => {
  const octets = [0xfd, ...unsigned(opcode)];
  return (...operands: Code[]): Code => joined(...operands, octets);
};
/** Of memory: an alignment that is no promise, and an offset. */
const access = (opcode: number) => (offset: number, ...operands: Code[]): Code => joined(...operands, [0xfd, ...unsigned(opcode), 0, ...unsigned(offset)]);

/** 32-bit integers: addresses and counts. */
export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  load: (offset: number, address: Code): Code => [...address, 0x28, 0, ...unsigned(offset)],
  add: plain(0x6a), sub: plain(0x6b), mul: plain(0x6c), and: plain(0x71),
};

/** Two 64-bit lanes, each of its own element. */
export const lanes = {
  load: access(0x00), store: access(0x0b),
  /** The lane 0 from memory, the other one zero. */
  loadFirst: access(0x5d),
  /** The lane 1 from memory; operands: address, the vector that has the lane 0. */
  loadSecond: (offset: number, address: Code, rest: Code): Code => [...address, ...rest, 0xfd, 0x57, 0, ...unsigned(offset), 1],
  /** Two 32-bit numbers without sign. */
  of: (first: Code, second: Code): Code => [...first, 0xad, 0xfd, 0x12, ...second, 0xad, 0xfd, 0x1e, 1],
  /** The same 64 bits in both. */
  constant(bits: bigint): Code {
    const octets = new Uint8Array(16);
    new DataView(octets.buffer).setBigUint64(0, BigInt.asUintN(64, bits), true);
    octets.copyWithin(8, 0, 8);
    return [0xfd, 0x0c, ...octets];
  },
  real(value: number): Code {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, value);
    return lanes.constant(bits.getBigUint64(0));
  },
  and: simd(0x4e), or: simd(0x50), xor: simd(0x51),
  /** Whole numbers modulo 2^64. */
  add: simd(0xce), sub: simd(0xd1),
  shiftLeft: (value: Code, bits: number): Code => [...value, ...i32.constant(bits), 0xfd, ...unsigned(0xcb)],
  shiftRight: (value: Code, bits: number): Code => [...value, ...i32.constant(bits), 0xfd, ...unsigned(0xcd)],
  /** IEEE 754 doubles. */
  addReal: simd(0xf0), subReal: simd(0xf1),
  /** a * b + c, rounded once where the processor has it (relaxed SIMD leaves it open: whoever uses it finds out). */
  mulAdd: simd(0x107),
};

/** One function: parameters are 32-bit numbers; nothing is returned. */
export class FunctionBody {
  readonly name: string;
  readonly parameters: readonly Code[];
  readonly #locals: ValueType[] = [];
  readonly #code: number[] = [];

  constructor(name: string, parameters: number) {
    this.name = name;
    this.parameters = Array.from({ length: parameters }, (_, i) => [0x20, ...unsigned(i)]);
  }

  emit(code: Code): void {
    this.#code.push(...code);
  }

  /** A new variable with this value; what is returned reads it. */
  variable(type: ValueType, value: Code): Code {
    const variable = [0x20, ...unsigned(this.parameters.length + this.#locals.length)];
    this.#locals.push(type);
    this.assign(variable, value);
    return variable;
  }

  /** The name of a value that does not change. */
  let(value: Code): Code {
    return this.variable(valueType.v128, value);
  }

  assign(variable: Code, value: Code): void {
    this.emit([...value, 0x21, ...variable.slice(1)]);
  }

  /** As often as `count` (at least once) says; it is counted down to zero. */
  repeat(count: Code, body: () => void): void {
    this.emit([0x03, 0x40]);
    body();
    this.assign(count, i32.sub(count, i32.constant(1)));
    this.emit([...count, 0x0d, 0, 0x0b]);
  }

  /** Signature. */
  get type(): Code {
    return [0x60, ...vector(this.parameters.map(() => [valueType.i32])), 0];
  }

  get body(): Code {
    const content = joined(vector(this.#locals.map((type) => [1, type])), this.#code, [0x0b]);
    return joined(unsigned(content.length), content);
  }
}

/** Magic number and version. */
const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A module of these functions, each exported by its name, over a memory that is imported as `env.memory`. */
export function moduleOctets(functions: readonly FunctionBody[]): Uint8Array {
  const sections = [
    section(1, vector(functions.map(({ type }) => type))),
    section(2, vector([[...text('env'), ...text('memory'), 2, 0, 1]])),
    section(3, vector(functions.map((_, i) => unsigned(i)))),
    section(7, vector(functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]))),
    section(10, vector(functions.map(({ body }) => body))),
  ];
  return Buffer.concat([HEADER, ...sections].map((octets) => Buffer.from(octets)));
}
