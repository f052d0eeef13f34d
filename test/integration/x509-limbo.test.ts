import { describe, expect, it, test } from 'vitest';
import {
  agrees, conformancePage, corpusResults, differences, limboCases, limboVerdict,
} from '../support/conformance.ts';

// test/vectors/README.md says where the suite comes from and how to update what is pinned.

const began = performance.now();
const slow: string[] = [];
const verdicts = new Map(limboCases.map((limbo) => {
  const start = performance.now();
  const verdict = limboVerdict(limbo);
  if (performance.now() - start > 1000) slow.push(limbo.id);
  return [limbo.id, verdict];
}));
const seconds = (performance.now() - began) / 1000;

describe('C2SP/x509-limbo', () => {
  it('is whole', () => expect(verdicts.size).toBe(193));

  it('gets the verdicts that are pinned, case by case', async () => {
    await expect(`${JSON.stringify(Object.fromEntries(verdicts), undefined, 1)}\n`)
      .toMatchFileSnapshot('../vectors/x509-limbo.verdicts.json');
  });

  it('differs where we say why, and nowhere else', () => {
    const differing = limboCases.filter((limbo) => !agrees(limbo, verdicts.get(limbo.id) ?? '')).map(({ id }) => id);
    expect(differing.sort()).toEqual(Object.keys(differences).sort());
  });

  it('agrees on every CRL and every attack that has a number', () => {
    const groups = /^(?:crl|cve)::/;
    for (const limbo of limboCases) if (groups.test(limbo.id)) expect([limbo.id, agrees(limbo, verdicts.get(limbo.id) ?? '')]).toEqual([limbo.id, true]);
  });

  it('has no case that takes long, those made to take long among them', () => {
    expect(slow).toEqual([]);
    expect(seconds).toBeLessThan(20);
  });
});

test('the corpus of requests comes out as it asks', () => {
  for (const { file, good, result } of corpusResults()) expect([file, result.startsWith('accepted')]).toEqual([file, good]);
});

test('docs/conformance.md is what these results make', async () => {
  await expect(conformancePage(verdicts)).toMatchFileSnapshot('../../docs/conformance.md');
});
