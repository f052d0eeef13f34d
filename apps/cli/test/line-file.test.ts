import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { idempotencyKey, stateFile, stateFor, writeState } from '../src/line/batch/batch-state.ts';
import { DigestChain } from '../src/line/batch/digest-chain.ts';
import { ItemsFile } from '../src/line/batch/items-file.ts';
import { LineError } from '../src/line/batch/line-error.ts';
import { OutputFile } from '../src/line/batch/output-file.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-file-'));
  path = join(folder, 'items.ndjson');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
/** As the contract writes it: d(i+1) = SHA-256(d(i) || SHA-256(line i)). */
const chainOf = (lines: readonly string[]): string => lines.reduce<Buffer>((digest, line) => sha256(digest, sha256(line)), Buffer.alloc(32)).toString('hex');
const items = (number: number): string[] => Array.from({ length: number }, (_, i) => JSON.stringify({ ecuSerial: `E-${i}`, csr: 'x'.repeat(i % 7) }));
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof LineError) return `${error.status} ${error.message.replaceAll(folder, '')}`;
    throw error;
  }
  return 'nothing was refused';
};

describe('the digest chain', () => {
  it.each([0, 1, 2, 50])('of %i lines is that of the contract', (number) => {
    const chain = new DigestChain();
    for (const line of items(number)) chain.push(Buffer.from(line));
    expect(chain.hex).toBe(chainOf(items(number)));
  });

  it('goes on from any item', () => {
    const chain = new DigestChain(chainOf(items(20)));
    for (const line of items(50).slice(20)) chain.push(Buffer.from(line));
    expect(chain.hex).toBe(chainOf(items(50)));
  });
});

describe('a file of items', () => {
  it.each([
    { ends: 'LF', text: (lines: string[]) => `${lines.join('\n')}\n` },
    { ends: 'CR LF and none at the end', text: (lines: string[]) => lines.join('\r\n') },
    { ends: 'empty lines between', text: (lines: string[]) => `\n\n${lines.join('\n\n')}\n\r\n\n` },
  ])('is the same whatever ends its lines: $ends', ({ text }) => {
    const lines = items(103);
    writeFileSync(path, text(lines));
    const file = ItemsFile.read(path, { items: 10, octets: 1e6 });
    expect([file.items, file.digest]).toEqual([103, chainOf(lines)]);
    for (const from of [0, 9, 10, 57, 102]) {
      expect(file.digestAt(from)).toBe(chainOf(lines.slice(0, from)));
      const end = Math.min(103, Math.floor(from / 10) * 10 + 10);
      expect(file.part(from)).toEqual({ items: end - from, body: Buffer.from(lines.slice(from, end).map((line) => `${line}\n`).join('')) });
    }
    const numbers = text(lines).split(/\r?\n/).map((line, i) => (line === '' ? 0 : i + 1)).filter((number) => number > 0);
    for (const item of [0, 10, 57, 102]) expect(file.lineNumber(item)).toBe(numbers[item]);
    expect([...file.lines([3, 57, 102])].join('')).toBe([3, 57, 102].map((i) => `${lines[i]}\n`).join(''));
  });

  it('makes parts of no more than so many octets, and of one item at least', () => {
    const lines = ['a', 'b', 'c', 'd'].map((each, i) => JSON.stringify({ csr: each.repeat(i === 2 ? 5_000 : 300) }));
    writeFileSync(path, lines.join('\n'));
    const file = ItemsFile.read(path, { items: 100, octets: 1_000 });
    expect([0, 2, 3].map((from) => file.part(from).items)).toEqual([2, 1, 1]);
  });

  it('reads across the blocks in which it is read', () => {
    const lines = Array.from({ length: 60 }, (_, i) => JSON.stringify({ csr: String(i % 10).repeat(90_000 + i) }));
    writeFileSync(path, `${lines.join('\n')}\n`);
    const file = ItemsFile.read(path, { items: 7, octets: 1e9 });
    expect([file.items, file.digest]).toEqual([60, chainOf(lines)]);
    expect(String(file.part(49).body)).toBe(lines.slice(49, 56).map((line) => `${line}\n`).join(''));
  });

  it('notices that it has become shorter', () => {
    writeFileSync(path, items(20).join('\n'));
    const file = ItemsFile.read(path, { items: 10, octets: 1e6 });
    writeFileSync(path, items(5).join('\n'));
    expect(refusal(() => file.part(0))).toMatch(/^2 .*was changed while it was being read/);
  });

  it('refuses a line that no API takes', () => {
    writeFileSync(path, `{"csr":"a"}\n{"csr":"${'x'.repeat(140_000)}"}\n`);
    expect(refusal(() => ItemsFile.read(path))).toBe('2 line 2 of /items.ndjson is longer than 131072 octets');
  });
});

describe('the state', () => {
  const submitted = { profile: 'ecu-client' };
  const file = { path: '/items.ndjson', items: 3, digest: 'aa' };

  it('makes the same key of the same submission, and another of another', () => {
    const keys = [submitted, { ...submitted, ca: 'one' }, { ...submitted, resendOf: 'one' }, { profile: 'other' }].map((each) => idempotencyKey(each, 'aa'));
    expect(new Set([...keys, idempotencyKey(submitted, 'bb')]).size).toBe(5);
    expect(idempotencyKey({ profile: 'ecu-client' }, 'aa')).toBe(keys[0]);
    expect(keys.every((key) => /^line-[0-9a-f]{64}$/.test(key))).toBe(true);
    expect(idempotencyKey({ ...submitted, key: 'shift-4711' }, 'aa')).toBe('shift-4711');
  });

  it.each([
    { what: 'the same', change: {}, other: submitted, says: 'nothing was refused' },
    { what: 'another digest', change: { digest: 'bb' }, other: submitted, says: /^2 .*was changed since batch b-1 was begun from it: put back what it held \(3 items\)/ },
    { what: 'another profile', change: {}, other: { profile: 'x' }, says: /^2 .*was sent with profile ecu-client before, and not x/ },
    { what: 'another key', change: {}, other: { ...submitted, key: 'k' }, says: /^2 .*was sent with key \(none\) before, and not k/ },
  ])('goes on with the same command and file alone: $what', ({ change, other, says }) => {
    const at = stateFile(path);
    writeState(at, { ...stateFor(at, file, submitted), batch: 'b-1' });
    expect(refusal(() => stateFor(at, { ...file, ...change }, other))).toMatch(says);
  });

  it('does not take a file of somebody else for its own', () => {
    writeFileSync(stateFile(path), '{"version": 7}');
    expect(refusal(() => stateFor(stateFile(path), file, submitted))).toMatch(/^2 .*was not written by this program/);
  });
});

describe('the file of results', () => {
  const line = (ordinal: number): string => (ordinal % 3 === 2 ? `{"ordinal":${ordinal},"outcome":"failed","code":"c.${ordinal % 2}","detail":"d"}\n` : `{"ordinal":${ordinal},"outcome":"issued","serial":"1","certificate":"AA"}\n`);
  const lines = (from: number, to: number): Buffer => Buffer.from(Array.from({ length: to - from }, (_, i) => line(from + i)).join(''));

  it.each([
    { left: 'nothing', torn: '', next: 0 },
    { left: 'a torn line alone', torn: '{"ordinal":0,"outc', next: 0 },
    { left: 'whole lines', whole: 4, torn: '', next: 4 },
    { left: 'whole lines and a torn one', whole: 4, torn: line(4).slice(0, -1), next: 4 },
    { left: 'more than a block, and a torn line', whole: 9_000, torn: '{', next: 9_000 },
  ])('goes on after $left', ({ whole = 0, torn, next }) => {
    writeFileSync(path, Buffer.concat([lines(0, whole), Buffer.from(torn)]));
    const file = new OutputFile(path);
    expect(file.next).toBe(next);
    file.append(lines(next, 9_003));
    file.close();
    expect(readFileSync(path).equals(lines(0, 9_003))).toBe(true);
    expect([file.outcome.issued, file.outcome.failed, [...file.outcome.failures], file.outcome.examples.get('c.0')]).toEqual(
      [6_002, 3_001, [['c.0', 1_501], ['c.1', 1_500]], [2, 8, 14, 20, 26]]);
  });

  it.each([
    { what: 'another text', text: 'nothing of ours\n' },
    { what: 'a result too few', text: `${line(0)}${line(2)}` },
    { what: 'a result twice', text: `${line(0)}${line(0)}` },
  ])('leaves what is not its own as it is: $what', ({ text }) => {
    appendFileSync(path, text);
    expect(refusal(() => new OutputFile(path))).toMatch(/^2 line \d of the results from \/items.ndjson holds .*, and not item \d: move the file away/);
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('takes no result out of order', () => {
    const file = new OutputFile(path);
    expect(() => file.append(lines(1, 3))).toThrow('line 1 of the results from the API holds item 1, and not item 0');
    file.close();
    expect(readFileSync(path, 'utf8')).toBe('');
  });
});
