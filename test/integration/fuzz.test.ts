import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCorpus } from '../fuzz/corpus.ts';
import { type Finding, fuzz } from '../fuzz/engine.ts';
import { isJudged, opensslSays } from '../fuzz/judge.ts';
import { targets } from '../fuzz/targets.ts';
import { fuzzWatched } from '../fuzz/watched.ts';

// A bounded run of the fuzzer; `npm run fuzz -- --minutes N` is the long one. The same seed gives the same inputs.

const SEED = 20261122;
/** A promise of 50 ms on a still machine; here others run beside, on caches and cores that are not ours alone. */
const LIMIT_MS = 250;
const list = targets(readCorpus());

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-fuzz-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test(`mutations of the corpus, seed ${SEED}: refused with a PkiError or right, none slow, and read as OpenSSL reads them`, async () => {
  console.log(`fuzz seed ${SEED}`);
  const findings: string[] = [];
  const taken: [target: string, input: Buffer][] = [];
  const summary = await fuzzWatched({ seed: SEED, rounds: 2500, forMs: 30_000, limitMs: LIMIT_MS }, list.map(({ name }) => name), {
    onFinding: ({ target, what, input }) => findings.push(`${target}: ${what}\n${input.subarray(0, 2000).toString('base64')}`),
    onAccepted: (target, input) => { if (isJudged(target) && taken.length < 120) taken.push([target, input]); },
  });
  expect(findings).toEqual([]);
  // A fuzzer that gets nothing past the first check tests nothing.
  for (const { name } of list) expect(summary?.tallies[name]?.accepted, name).toBeGreaterThan(20);
  expect(taken.length).toBeGreaterThan(20);
  const verdicts = taken.map(([target, input]) => ({ said: opensslSays(folder, target, input), target, input: input.toString('base64') }));
  expect(verdicts.filter(({ said }) => said !== 'the same' && said !== 'refused')).toEqual([]);
  expect(verdicts.filter(({ said }) => said === 'the same').length).toBeGreaterThan(taken.length / 2);
});

describe('the fuzzer itself', () => {
  const planted = (run: (input: Buffer) => boolean) => {
    const found: Finding[] = [];
    const inputs: string[] = [];
    fuzz({
      targets: [{ ...list[0]!, run }], seed: 7, rounds: 50, limitMs: LIMIT_MS, onFinding: (finding) => found.push(finding),
      before: (_, input) => inputs.push(input.toString('hex')),
    });
    return { found, inputs };
  };

  test('finds an exception that is no PkiError, and tells it once', () => {
    const { found } = planted(() => { throw new TypeError('planted'); });
    expect(found).toMatchObject([{ target: list[0]!.name, what: expect.stringContaining('planted') }]);
  });

  test('gives the same inputs for the same seed', () => {
    const first = planted(() => false).inputs;
    expect(planted(() => false).inputs).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(50);
  });
});
