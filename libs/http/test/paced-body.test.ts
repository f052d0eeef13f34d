import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { PkiError } from '@fleetroot/core';
import { pacedBody } from '../src/index.ts';

const pace = { graceMs: 60, octetsPerSecond: 1000 };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function read(body: Readable, between = async () => undefined as void): Promise<string> {
  let text = '';
  try {
    for await (const chunk of pacedBody(body, pace)) {
      text += chunk.toString();
      await between();
    }
  } catch (error) {
    text += (error as PkiError).code;
  }
  return text;
}

describe('a paced body', () => {
  it('gives the chunks as they are', async () => expect(await read(Readable.from([Buffer.from('a'), Buffer.from('bc')]))).toBe('abc'));
  it('cuts a sender that stops, and leaves the connection', async () => {
    const body = new PassThrough();
    body.write('a');
    expect(await read(body)).toBe('ahttp.timeout');
    expect(body.destroyed).toBe(false);
  });
  it('cuts a sender that trickles', async () => {
    const body = new PassThrough();
    const trickle = setInterval(() => body.write('.'), 20);
    expect(await read(body)).toMatch(/^\.{1,6}http\.timeout$/);
    clearInterval(trickle);
  });
  it('does not count the time in which we are slow', async () => {
    expect(await read(Readable.from([Buffer.from('a'), Buffer.from('b')]), () => sleep(80) as Promise<void>)).toBe('ab');
  });
  it('says that a sender went away', async () => {
    const body = new PassThrough();
    setTimeout(() => body.destroy(new Error('aborted')), 10);
    expect(await read(body)).toBe('http.body-invalid');
  });
});
