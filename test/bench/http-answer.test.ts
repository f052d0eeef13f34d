import { describe, expect, it } from 'vitest';
import { AnswerReader } from './http-answer.ts';
import { counted } from './http-load.ts';

const body = 'x'.repeat(300);
const answer = (status = '200 OK', content = body, more = 'ETag: "a"\r\n', name = 'content-length'): string =>
  `HTTP/1.1 ${status}\r\n${more}${name}: ${content.length}\r\nDate: today\r\n\r\n${content}`;

describe('HTTP answers', () => {
  const whole = answer();
  const cases = [
    ['whole', whole, { octets: whole.length, ok: true }],
    ['with its length under another case', answer('200 OK', body, '', 'Content-Length'), { ok: true }],
    ['without its last octet', whole.slice(0, -1), undefined],
    ['in the middle of its head', whole.slice(0, 40), undefined],
    ['with the next one behind it', whole + whole, { octets: whole.length, ok: true }],
    ['of another status', answer('503 Service Unavailable'), { ok: false }],
    ['of OCSP that is an error', answer('200 OK', 'error'), { ok: false }],
    ['with another head', answer('200 OK', body, 'Age: 7\r\n'), { ok: true }],
    ['with a length of fewer digits', answer('200 OK', 'y'.repeat(99)), { ok: true }],
  ] as const;

  it.each(cases)('%s', (_, text, expected) => {
    const octets = Buffer.from(text);
    const found = new AnswerReader().read(octets, octets.length);
    if (expected === undefined) expect(found).toBeUndefined();
    else expect(found).toMatchObject(expected);
  });

  it.each(cases)('%s, after another one', (_, text, expected) => {
    const reader = new AnswerReader();
    const first = Buffer.from(whole);
    reader.read(first, first.length);
    const octets = Buffer.from(text);
    const found = reader.read(octets, octets.length);
    if (expected === undefined) expect(found).toBeUndefined();
    else expect(found).toMatchObject(expected);
  });

  it('what is behind them in memory is not theirs', () => {
    const octets = Buffer.from(whole);
    expect(new AnswerReader().read(octets, octets.length - 1)).toBeUndefined();
  });

  it('that do not tell their length', () => {
    const octets = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
    expect(() => new AnswerReader().read(octets, octets.length)).toThrow('does not tell its length');
  });

  it('none at all: an error', () => {
    expect(() => counted({ perSecond: 0, answers: 0, failed: 0, latencies: new Float64Array() })).toThrow('no request was answered');
  });
});
