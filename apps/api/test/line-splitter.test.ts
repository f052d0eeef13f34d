import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { PkiError } from '@fleetroot/core';
import { LineSplitter, MAX_LINE } from '../src/batches/line-splitter.ts';

/** Each line as text with its number, from a body cut at the given places. */
function split(body: Buffer, cuts: readonly number[]): [number, string][] {
  const splitter = new LineSplitter();
  const lines: [number, string][] = [];
  const places = [0, ...[...cuts].sort((a, b) => a - b), body.length];
  for (let i = 1; i < places.length; i++) {
    for (const line of splitter.push(body.subarray(places[i - 1], places[i]))) lines.push([splitter.number, line.toString()]);
  }
  for (const line of splitter.end()) lines.push([splitter.number, line.toString()]);
  return lines;
}

test.each([
  ['nothing', '', []],
  ['one line', 'a\n', [[1, 'a']]],
  ['no LF at the end', 'a\nb', [[1, 'a'], [2, 'b']]],
  ['CR LF', 'a\r\nb\r\n', [[1, 'a'], [2, 'b']]],
  ['empty lines, which count', '\n\na\n\r\nb\n\n', [[3, 'a'], [5, 'b']]],
  ['a CR inside', 'a\rb\n', [[1, 'a\rb']]],
  ['a lone CR at the end', 'a\n\r', [[1, 'a']]],
] as const)('%s', (_, body, lines) => expect(split(Buffer.from(body), [])).toEqual(lines));

describe('whatever the chunks', () => {
  it('the lines are the same', () => {
    fc.assert(fc.property(
      fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constant('\n'), fc.constant('\r\n'), fc.constant('x'.repeat(300)))).map((parts) => Buffer.from(parts.join('\n'))),
      fc.array(fc.nat(2000)),
      (body, cuts) => {
        const inside = cuts.map((cut) => Math.min(cut, body.length));
        expect(split(body, inside)).toEqual(split(body, []));
      },
    ), { numRuns: 500 });
  });
  it('they are what splitting the whole text gives', () => {
    fc.assert(fc.property(fc.array(fc.stringMatching(/^[a-z]{0,5}$/)), fc.array(fc.nat(60)), (texts, cuts) => {
      const body = Buffer.from(texts.join('\n'));
      const expected = texts.map((text, i) => [i + 1, text] as [number, string]).filter(([, text]) => text !== '');
      expect(split(body, cuts.map((cut) => Math.min(cut, body.length)))).toEqual(expected);
    }));
  });
});

describe('a line that is too long', () => {
  const fault = (body: Buffer, cuts: readonly number[]): unknown => {
    try {
      return split(body, cuts).length;
    } catch (error) {
      return [(error as PkiError).code, (error as PkiError).data['line']];
    }
  };
  const line = (length: number) => Buffer.from(`a\n${'x'.repeat(length)}\n`);
  test.each([[[]], [[70_000]], [[2, 3, 4, 130_000]]])('is refused, however it is cut: %j', (cuts) => {
    expect(fault(line(MAX_LINE), cuts)).toBe(2);
    expect(fault(line(MAX_LINE + 1), cuts)).toEqual(['batch.line-too-large', 2]);
  });
  it('is refused before it ends', () => {
    const splitter = new LineSplitter();
    const piece = Buffer.alloc(MAX_LINE, 'x');
    expect([...splitter.push(piece)]).toEqual([]);
    expect(() => [...splitter.push(Buffer.from('x'))]).toThrow(expect.objectContaining({ code: 'batch.line-too-large' }));
  });
});
