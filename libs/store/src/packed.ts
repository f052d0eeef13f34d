/**
 * A column of octet strings as one binary parameter with the place of each: pg would send an array of them as
 * hexadecimal text, twice the size, made here and read there. In SQL: `substring($blob FROM at FOR length)`, places
 * counted from 1.
 */
export interface PackedColumn {
  readonly blob: Buffer;
  /** PostgreSQL's text of an int[]. */
  readonly at: string;
  readonly length: string;
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
  return { blob: Buffer.concat(values, end), at: numberList(at), length: numberList(length) };
}

/** PostgreSQL's text of an array of numbers, which pg would put together one by one. */
export const numberList = (values: readonly (number | bigint | null)[]): string => `{${values.map((value) => value ?? 'NULL').join(',')}}`;

/**
 * The different times of a column, and for each row the place of its own among them, counted from 1; no places where all
 * rows share one time, as those of a chunk do.
 */
export function distinctTimes(column: readonly Date[]): { readonly times: readonly string[]; readonly places: string } {
  const places = new Map<number, number>();
  const rows = column.map((time) => {
    const known = places.get(time.getTime());
    if (known === undefined) places.set(time.getTime(), places.size + 1);
    return known ?? places.size;
  });
  return { times: [...places.keys()].map((ms) => new Date(ms).toISOString()), places: places.size === 1 ? '{}' : numberList(rows) };
}
