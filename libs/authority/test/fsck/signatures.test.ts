import { hash } from 'node:crypto';
import { expect, it } from 'vitest';
import { Findings } from '../../src/fsck/report.ts';
import { SignatureAccount } from '../../src/fsck/signatures.ts';

const tbs = (text: string): Uint8Array => Buffer.from(text);
const input = (text: string): string => hash('sha256', text);
/** So many signatures of nothing that is known are let pass: transcripts of ceremonies. */
const OTHERS = 16;

function account(signed: readonly (readonly [string, number])[], selfTests: readonly string[] = [], logins = 0) {
  const findings = new Findings();
  const made = new SignatureAccount({ signed: new Map(signed), selfTests: new Set(selfTests), logins }, findings);
  return { made, found: () => findings.breaches.map(({ check }) => check) };
}

it('strikes out what is on record, signed by ECDSA, RSA or Ed25519', () => {
  const { made, found } = account([[input('a'), 1], [`3031300d060960864801650304020105000420${input('b')}`, 1], [Buffer.from('c').toString('hex'), 1], [hash('sha384', 'd'), 1]]);
  for (const text of ['a', 'b', 'c', 'd']) made.known(() => text, tbs(text));
  made.end(0, 1);
  expect(found()).toEqual([]);
});

it('names what was signed twice, and what was not signed', () => {
  const { made, found } = account([[input('a'), 2]]);
  made.known(() => 'a', tbs('a'));
  made.known(() => 'b', tbs('b'));
  made.maybe(tbs('of a ceremony elsewhere'));
  expect(found()).toEqual(['signature-once', 'signature-made']);
});

it.each([
  ['nothing explains them', 0, 0, 1, 0, ['signature-known']],
  ['as many were lost', 1, 0, 1, 0, []],
  ['they are self-tests', 0, 0, 1, 1, []],
  ['another key was tried at a log-in', 0, 1, 2, 0, []],
  ['there is but one key', 0, 1, 1, 0, ['signature-known']],
])('of signatures that are of nothing on record: %s', (_, lost, logins, keys, selfTests, expected) => {
  const inputs = Array.from({ length: OTHERS + 1 }, (__, i) => input(`x${i}`));
  const { made, found } = account(inputs.map((one) => [one, 1]), inputs.slice(0, selfTests), logins);
  made.end(lost, keys);
  expect(found()).toEqual(expected);
});
