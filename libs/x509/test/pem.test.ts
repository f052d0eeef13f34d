import { decodePem, encodePem } from '@fleetroot/x509';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const block = encodePem('CERTIFICATE', new Uint8Array(100).fill(7));
const decode = (text: string) => decodePem(text, 'request.pem-invalid');

describe('PEM', () => {
  test('what is written is read back', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (ders) => {
      const text = ders.map((der) => encodePem('X509 CRL', der)).join('');
      expect(decode(text)).toEqual(ders.map((der) => ({ label: 'X509 CRL', der: new Uint8Array(der) })));
    }));
  });

  test('lines have 64 characters', () => {
    expect(block.split('\n').map((line) => line.length)).toEqual([27, 64, 64, 8, 25, 0]);
  });

  test.each([
    ['text before, between and after', `subject=CN = x\n${block}\nmore\n${block}the end\n`, 2],
    ['CR LF', block.replaceAll('\n', '\r\n'), 1],
    ['blanks at the ends of lines', block.replaceAll('\n', ' \t\n'), 1],
    ['lines of another length', block.replaceAll(/(?<!-)\n(?!-)/g, ''), 1],
    ['no block', 'nothing here\n', 0],
    ['nothing', '', 0],
  ])('accepted: %s', (_, text, count) => expect(decode(text).length).toBe(count));

  test.each([
    ['a character that is not base64', block.replace('Bwc', 'B*c')],
    ['padding missing', block.replace('==', '')],
    ['padding too early', block.replace('Bwc', 'B==')],
    ['headers', block.replace('CERTIFICATE-----\n', 'CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\n')],
    ['another label at the end', block.replace('END CERTIFICATE', 'END X509 CRL')],
    ['no end', block.slice(0, block.indexOf('-----END'))],
    ['a block in a block', block.replace('\n', `\n${block}`)],
    ['begin not at the start of a line', `x${block}`],
    ['no label', block.replaceAll(' CERTIFICATE-', ' -')],
    ['a label of lower case', block.replaceAll('CERTIFICATE', 'certificate')],
    ['a label without end', '-----BEGIN CERTIFICATE'],
    ['bits after the last octet', '-----BEGIN CERTIFICATE-----\nMB==\n-----END CERTIFICATE-----\n'],
  ])('refused: %s', (_, text) => {
    expect(() => decode(text)).toThrow(expect.objectContaining({ code: 'request.pem-invalid' }));
  });

  test('a megabyte of begins and dashes takes no time', () => {
    const before = performance.now();
    for (const text of ['-----BEGIN '.repeat(100_000), '-'.repeat(1_000_000), ' '.repeat(1_000_000)]) {
      try {
        decode(text);
      } catch {
        // Refused, and soon.
      }
    }
    expect(performance.now() - before).toBeLessThan(500);
  });
});
