import type { Pages } from '../ports/inspection.ts';

/** A sorted stream that is read beside others: each time the rows that belong to what is at hand. */
export class Sorted<Row> {
  readonly #pages: AsyncIterator<readonly Row[]>;
  #page: readonly Row[] = [];
  #at = 0;
  #ended = false;

  constructor(pages: Pages<Row>) {
    this.#pages = pages[Symbol.asyncIterator]();
  }

  /** The next row, which stays; undefined after the last. */
  async peek(): Promise<Row | undefined> {
    await this.#fill();
    return this.#page[this.#at];
  }

  /** The rows from here on that `belongs` lets through, and past them. */
  async takeWhile(belongs: (row: Row) => boolean): Promise<Row[]> {
    const taken: Row[] = [];
    for (;;) {
      // Within a page nothing is waited for.
      if (this.#at >= this.#page.length) await this.#fill();
      const row = this.#page[this.#at];
      if (row === undefined || !belongs(row)) return taken;
      taken.push(row);
      this.#at++;
    }
  }

  async #fill(): Promise<void> {
    while (this.#at >= this.#page.length && !this.#ended) {
      const next = await this.#pages.next();
      this.#ended = next.done === true;
      this.#page = next.done === true ? [] : next.value;
      this.#at = 0;
    }
  }

  /** Whatever it held is let go. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#page = [];
    await this.#pages.return?.();
  }
}

/** Each row, in order. */
export async function eachRow<Row>(pages: Pages<Row>, visit: (row: Row) => void): Promise<number> {
  let rows = 0;
  for await (const page of pages) {
    for (const row of page) visit(row);
    rows += page.length;
  }
  return rows;
}
