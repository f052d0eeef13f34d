import { PkiError } from '@fleetroot/core';

/** One column of a COPY in binary form (PostgreSQL's documentation of COPY, "Binary Format"); its octets are views of the row. */
export type Column<T> = (row: Buffer, at: number, length: number) => T;

/** Of a timestamptz: microseconds since 2000-01-01. */
const EPOCH_MS = Date.UTC(2000, 0, 1);

export const column = {
  int4: (row: Buffer, at: number): number => row.readInt32BE(at),
  int8: (row: Buffer, at: number): bigint => row.readBigInt64BE(at),
  /** Milliseconds since 1970; exact for the next centuries. */
  time: (row: Buffer, at: number): number => EPOCH_MS + Math.floor((row.readInt32BE(at) * 4_294_967_296 + row.readUInt32BE(at + 4)) / 1000),
  text: (row: Buffer, at: number, length: number): string => row.toString('utf8', at, at + length),
  bool: (row: Buffer, at: number): boolean => row[at] === 1,
  bytes: (row: Buffer, at: number, length: number): Uint8Array => row.subarray(at, at + length),
} as const;

/** The same where the column may be null. */
export const orNull = <T>(read: Column<T>): Column<T | null> => Object.assign((row: Buffer, at: number, length: number): T | null => (length < 0 ? null : read(row, at, length)), { nullable: true });

/** The columns of a row in the order of its SELECT. */
export type Shape<Row> = { readonly [K in keyof Row]-?: Column<Row[K]> };

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const HEADER = SIGNATURE.length + 8;

/** Reads the messages of one COPY, each of which holds whole rows. */
export interface RowReader<Row> {
  /** @param message is kept by the rows: nobody may write to it. @throws PkiError `internal` for what is no such COPY */
  read(message: Buffer, add: (row: Row) => void): void;
}

/** Place of the first row of a COPY's first message. @throws PkiError `internal` */
export function firstRow(message: Buffer): number {
  if (!message.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw broken();
  return HEADER + message.readInt32BE(HEADER - 4);
}

/** Reads the messages of one COPY, each of which holds whole rows: so does PostgreSQL send them. */
export class BinaryRows<Row> implements RowReader<Row> {
  readonly #columns: readonly (readonly [string, Column<unknown>])[];
  #begun = false;

  constructor(shape: Shape<Row>) {
    this.#columns = Object.entries<Column<unknown>>(shape as Record<string, Column<unknown>>);
  }

  /** @param message is kept by the rows: nobody may write to it. @throws PkiError `internal` for what is no such COPY */
  read(message: Buffer, add: (row: Row) => void): void {
    let at = 0;
    if (!this.#begun) {
      at = firstRow(message);
      this.#begun = true;
    }
    while (at < message.length) {
      const fields = message.readInt16BE(at);
      at += 2;
      // The end.
      if (fields === -1) return;
      if (fields !== this.#columns.length) throw broken();
      const row: Record<string, unknown> = {};
      for (const [name, read] of this.#columns) {
        const length = message.readInt32BE(at);
        at += 4;
        if (length < 0 && !('nullable' in read)) throw broken();
        row[name] = read(message, at, length);
        if (length > 0) at += length;
      }
      add(row as Row);
    }
    if (at > message.length) throw broken();
  }
}

export const broken = (): PkiError => new PkiError('internal', 'the database sent rows of another form than was asked for');
