import { Readable } from 'node:stream';

export const NDJSON = 'application/x-ndjson';

const PAGE_CHARACTERS = 64 * 1024;
/** How long a line waits for company: a slow source's lines come one by one, a fast one's by the page. */
const PATIENCE_MS = 40;

/**
 * The lines of `source` (each with its LF) as a stream of pages; reads no further than the receiver does. `source` gets
 * a signal that aborts when the receiver has gone, and is then left.
 * @param beforePage awaited before each full page but the first
 */
export function ndjsonStream(
  source: (signal: AbortSignal) => AsyncIterable<string>, closing: AbortSignal, beforePage?: () => Promise<unknown>,
): Readable {
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, closing]);
  let resume: (() => void) | undefined;
  let page = '';
  const timer = setInterval(() => {
    if (resume === undefined) flush();
  }, PATIENCE_MS);
  const stream = new Readable({
    highWaterMark: 2 * PAGE_CHARACTERS,
    read() {
      resume?.();
      resume = undefined;
    },
    destroy(error, done) {
      gone.abort();
      clearInterval(timer);
      resume?.();
      done(error);
    },
  });
  const flush = (): boolean => {
    if (page === '') return true;
    const full = page;
    page = '';
    return stream.push(full, 'utf8');
  };
  const pump = async (): Promise<void> => {
    for await (const line of source(signal)) {
      if (stream.destroyed) return;
      page += line;
      if (page.length < PAGE_CHARACTERS) continue;
      if (!flush()) await new Promise<void>((resolve) => (resume = resolve));
      await beforePage?.();
    }
    if (stream.destroyed) return;
    // The process is closing: an end would say that this was all.
    if (closing.aborted) throw new Error('closing');
    flush();
    stream.push(null);
  };
  pump().catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error)))).finally(() => clearInterval(timer));
  return stream;
}
