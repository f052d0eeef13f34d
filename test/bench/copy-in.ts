import { Client } from 'pg';

const SIGNATURE = Buffer.from('5047434f50590aff0d0a0000000000000000000000', 'hex').subarray(0, 19);
const CHUNK = 1 << 18;

/** What of pg's connection a COPY needs (PostgreSQL 18, section 54.2.6); pg has no types for it. */
interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  sendCopyFail(message: string): void;
  endCopyFrom(): void;
  readonly stream: { readonly writableNeedDrain: boolean; once(event: 'drain' | 'close', listener: () => void): unknown; off(event: 'drain' | 'close', listener: () => void): unknown };
}

export type Field = Buffer | string | number | bigint | Date | null;
/** How a column's value is sent in binary; integers by their width. */
type FieldType = 'int2' | 'int4' | 'int8' | 'text' | 'bytea' | 'uuid' | 'timestamptz';

/** A row as COPY takes it, and where the octets of each field begin. */
export interface EncodedRow {
  readonly octets: Buffer;
  readonly at: Readonly<Record<string, number>>;
}

export type Columns = Readonly<Record<string, FieldType>>;

export function encodeRow(columns: Columns, values: readonly Field[]): EncodedRow {
  const buffer = Buffer.alloc(1 << 14);
  const places: Record<string, number> = {};
  let at = buffer.writeInt16BE(Object.keys(columns).length);
  for (const [i, [name, type]] of Object.entries(columns).entries()) {
    places[name] = at + 4;
    at = writeField(buffer, at, type, values[i] ?? null);
  }
  return { octets: buffer.subarray(0, at), at: places };
}

/**
 * Sends rows by COPY in its binary form, as fast as the server takes them. Resolves when they are stored. An encoded row
 * may be changed as soon as the next one is asked for.
 */
export async function copyIn(client: Client, table: string, columns: Columns, rows: Iterable<Buffer>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failed: Error | undefined;
  const send = async (connection: CopyConnection): Promise<void> => {
    let buffer = Buffer.allocUnsafe(CHUNK * 2);
    let at = SIGNATURE.copy(buffer);
    const flush = async (): Promise<void> => {
      connection.sendCopyFromChunk(buffer.subarray(0, at));
      // The socket keeps what it was given until it is sent.
      buffer = Buffer.allocUnsafe(CHUNK * 2);
      at = 0;
      if (connection.stream.writableNeedDrain) await drained(connection);
    };
    for (const row of rows) {
      if (failed !== undefined) return;
      at += row.copy(buffer, at);
      if (at > CHUNK) await flush();
    }
    at = buffer.writeInt16BE(-1, at);
    await flush();
    connection.endCopyFrom();
  };
  const submittable = {
    submit: (connection: CopyConnection) => connection.query(`COPY ${table} (${Object.keys(columns).join(', ')}) FROM STDIN (FORMAT binary)`),
    handleCopyInResponse: (connection: CopyConnection) => void send(connection).catch((error: Error) => connection.sendCopyFail(error.message)),
    handleError: (error: Error) => void (failed = error),
    handleReadyForQuery: () => (failed === undefined ? resolve() : reject(failed)),
    handleCommandComplete: () => undefined,
  };
  client.query(submittable as never);
  return promise;
}

function drained({ stream }: CopyConnection): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.once('drain', done);
    stream.once('close', done);
  });
}

const EPOCH_MS = Date.UTC(2000, 0, 1);

function writeField(buffer: Buffer, at: number, type: FieldType, value: Field): number {
  if (value === null) return buffer.writeInt32BE(-1, at);
  switch (type) {
    case 'int2': return buffer.writeInt16BE(Number(value), buffer.writeInt32BE(2, at));
    case 'int4': return buffer.writeInt32BE(Number(value), buffer.writeInt32BE(4, at));
    case 'int8': return buffer.writeBigInt64BE(value as bigint, buffer.writeInt32BE(8, at));
    case 'timestamptz': return buffer.writeBigInt64BE(BigInt((value as Date).getTime() - EPOCH_MS) * 1000n, buffer.writeInt32BE(8, at));
    case 'uuid': return octets(buffer, at, Buffer.from((value as string).replaceAll('-', ''), 'hex'));
    case 'text': {
      const length = buffer.write(value as string, at + 4);
      buffer.writeInt32BE(length, at);
      return at + 4 + length;
    }
    case 'bytea': return octets(buffer, at, value as Buffer);
  }
}

function octets(buffer: Buffer, at: number, value: Buffer): number {
  return buffer.writeInt32BE(value.length, at) + value.copy(buffer, at + 4);
}
