import type { Client, Connection, Submittable } from 'pg';
import { BinaryRows, type RowReader, type Shape } from './binary-row.ts';

/** So many rows are held, at most and about: those of the packet at hand come with them. */
const PAGE = 500;
/** Or so many octets of them: a CRL alone may have fifty million. */
const PAGE_OCTETS = 1_000_000;

/**
 * The rows of a SELECT in pages, by COPY: it takes a third of the time that a cursor does, and PostgreSQL may read by
 * several processes. While nobody takes a page, nothing more is read from the socket. The connection is busy until the end;
 * to stop before it, close the connection.
 */
export async function* copyOut<Row>(client: Client, select: string, shape: Shape<Row> | RowReader<Row>): AsyncGenerator<readonly Row[]> {
  const copy = new CopyOut(isReader(shape) ? shape : new BinaryRows(shape));
  client.query(new Submission(`COPY (${select}) TO STDOUT (FORMAT binary)`, copy));
  for (;;) {
    const page = await copy.take();
    if (page === undefined) return;
    yield page;
  }
}

const isReader = <Row>(given: Shape<Row> | RowReader<Row>): given is RowReader<Row> => typeof (given as Partial<RowReader<Row>>).read === 'function';

class CopyOut<Row> {
  readonly #reader: RowReader<Row>;
  #rows: Row[] = [];
  #octets = 0;
  #stream: { pause(): unknown; resume(): unknown } | undefined;
  #ended: { readonly error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(reader: RowReader<Row>) {
    this.#reader = reader;
  }

  get #full(): boolean {
    return this.#rows.length >= PAGE || this.#octets >= PAGE_OCTETS;
  }

  begin(stream: { pause(): unknown; resume(): unknown }): void {
    this.#stream = stream;
  }

  message(chunk: Uint8Array): void {
    if (this.#ended !== undefined) return;
    try {
      // pg uses its buffer again.
      this.#reader.read(Buffer.from(chunk), (row) => this.#rows.push(row));
    } catch (error) {
      this.end(error);
    }
    this.#octets += chunk.length;
    if (this.#full) {
      this.#stream?.pause();
      this.#wake?.();
    }
  }

  end(error?: unknown): void {
    this.#ended ??= error === undefined ? {} : { error };
    this.#wake?.();
  }

  /** The next rows; undefined after the last. */
  async take(): Promise<readonly Row[] | undefined> {
    if (!this.#full && this.#ended === undefined) {
      this.#stream?.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    if (this.#ended?.error !== undefined) throw this.#ended.error;
    const rows = this.#rows;
    this.#rows = [];
    this.#octets = 0;
    return rows.length === 0 && this.#ended !== undefined ? undefined : rows;
  }
}

/** What pg's Client calls for a query of an own kind. */
class Submission<Row> implements Submittable {
  readonly #text: string;
  readonly #copy: CopyOut<Row>;

  constructor(text: string, copy: CopyOut<Row>) {
    this.#text = text;
    this.#copy = copy;
  }

  submit(connection: Connection): void {
    this.#copy.begin(connection.stream);
    connection.query(this.#text);
  }

  handleCopyData({ chunk }: { readonly chunk: Uint8Array }): void {
    this.#copy.message(chunk);
  }

  handleError(error: unknown): void {
    this.#copy.end(error);
  }

  handleReadyForQuery(): void {
    this.#copy.end();
  }

  handleCommandComplete(): void {
    // The end comes with ReadyForQuery: only then is the connection free.
  }
}
