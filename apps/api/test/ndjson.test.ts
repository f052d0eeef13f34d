import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ndjsonStream } from '../src/ndjson.ts';

const open = () => new AbortController().signal;

describe('a stream of lines', () => {
  it('gives all of them, in pages', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `{"ordinal":${i}}\n`);
    const chunks: Buffer[] = [];
    for await (const chunk of ndjsonStream(async function* () { yield* lines; }, open())) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe(lines.join(''));
    expect(chunks.length).toBeLessThan(20);
  });
  it('does not keep a line back while the next one takes its time', async () => {
    const stream = ndjsonStream(async function* () { yield 'a\n'; await sleep(300); yield 'b\n'; }, open());
    const began = performance.now();
    const { value } = await stream[Symbol.asyncIterator]().next() as { value: Buffer };
    expect(value.toString()).toBe('a\n');
    expect(performance.now() - began).toBeLessThan(200);
    stream.destroy();
  });
  it('reads no further than its reader does', async () => {
    let given = 0;
    const stream = ndjsonStream(async function* () { for (;;) { given++; yield `${'x'.repeat(999)}\n`; } }, open());
    stream.read(0);
    await sleep(100);
    expect(given).toBeLessThan(400);
    stream.destroy();
  });
  it('tells its source that the reader has gone', async () => {
    let told = false;
    const stream = ndjsonStream(async function* (signal) {
      yield 'a\n';
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      told = true;
    }, open());
    stream.resume();
    await sleep(60);
    stream.destroy();
    await sleep(10);
    expect(told).toBe(true);
  });
  it('fails with its source, and when the process closes: an end would say that it was all', async () => {
    const read = async (stream: AsyncIterable<unknown>) => {
      for await (const chunk of stream) void chunk;
    };
    await expect(read(ndjsonStream(async function* () { yield 'a\n'; throw new Error('away'); }, open()))).rejects.toThrow('away');
    const closing = new AbortController();
    const stream = ndjsonStream(async function* (signal) {
      while (!signal.aborted) { yield 'a\n'; await sleep(5); }
    }, closing.signal);
    setTimeout(() => closing.abort(), 50);
    await expect(read(stream)).rejects.toThrow('closing');
  });
});
