/**
 * A column of octet strings as one binary parameter with the place of each: pg would send an array of them as
 * hexadecimal text, twice the size, made here and read there. In SQL: `substring($blob FROM at FOR length)`, places
 * counted from 1.
 */
export interface PackedColumn {
  readonly blob: Buffer;
  readonly at: readonly number[];
  readonly length: readonly number[];
}

export function packColumn(values: readonly Uint8Array[]): PackedColumn {
  const at: number[] = [];
  const length: number[] = [];
  let end = 0;
  for (const value of values) {
    at.push(end + 1);
    length.push(value.length);
    end += value.length;
  }
  return { blob: Buffer.concat(values, end), at, length };
}
