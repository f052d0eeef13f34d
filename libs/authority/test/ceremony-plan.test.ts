import { readFileSync } from 'node:fs';
import { isPkiError } from '@fleetroot/core';
import { parseCeremonyPlan } from '@fleetroot/authority';
import { describe, expect, it } from 'vitest';

const root = ['  - name: root', '    key: p-384', '    subject:', '      commonName: Root', '    years: 20', '    pathLength: 1'];
const issuing = ['  - name: issuing', '    parent: root', '    key: p-256', '    subject:', '      commonName: Issuing', '    years: 10', '    pathLength: 0'];
const plan = (...lines: string[]): string => ['ceremony: A test', 'authorities:', ...lines, ''].join('\n');
const swap = (lines: string[], from: string, to: string): string[] => lines.map((line) => (line.trim() === from ? line.replace(from, to) : line));

describe('the plan of a ceremony', () => {
  it('is read with its CAs in order and its hash', () => {
    const read = parseCeremonyPlan(plan(...root, ...issuing), 'plan.yaml');
    expect(read.authorities).toEqual([
      { name: 'root', parent: undefined, key: 'p-384', subject: [{ type: 'commonName', value: 'Root' }], years: 20, pathLength: 1 },
      { name: 'issuing', parent: 'root', key: 'p-256', subject: [{ type: 'commonName', value: 'Issuing' }], years: 10, pathLength: 0 },
    ]);
    expect(read.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('of the development hierarchy is valid', () => {
    const file = new URL('../../../hsm-config/ceremony-dev.yaml', import.meta.url);
    expect(parseCeremonyPlan(readFileSync(file, 'utf8'), 'ceremony-dev.yaml').authorities.map(({ name }) => name))
      .toEqual(['fleetroot-dev-root', 'ecu-issuing']);
  });

  it.each<[string, string, number, RegExp]>([
    ['not YAML', 'a: [', 1, /not valid YAML/],
    ['empty', '', 1, /must hold the fields/],
    ['no CA', 'ceremony: A test\nauthorities: []\n', 2, /at least one CA/],
    ['a field misspelt', plan(...root, '    yeers: 3'), 9, /authorities\.0\.yeers: is not a field here: remove it/],
    ['a field missing', plan(...root.filter((line) => !line.includes('years'))), 3, /authorities\.0\.years: must be a number of years/],
    ['a weak key', plan(...swap(root, 'key: p-384', 'key: rsa-1024')), 4, /must be one of p-256/],
    ['half a year', plan(...swap(root, 'years: 20', 'years: 0.5')), 7, /whole number of years/],
    ['a bad name', plan(...swap(root, '- name: root', '- name: Root CA')), 3, /lower-case letters.*rename it/],
    ['two of one name', plan(...root, ...swap(root, 'commonName: Root', 'commonName: Other')), 9, /stands twice/],
    ['two of one subject', plan(...root, ...swap(issuing, 'commonName: Issuing', 'commonName: Root')), 12, /name of another CA/],
    ['a parent below', plan(...issuing, ...root), 4, /put the parent first/],
    ['a path as long as the parent\'s', plan(...root, ...swap(issuing, 'pathLength: 0', 'pathLength: 1')), 15, /less than the parent's, which is 1/],
    ['a child that outlives its parent', plan(...root, ...swap(issuing, 'years: 10', 'years: 30')), 14, /more than the parent's 20/],
    ['no common name', plan(...swap(root, 'commonName: Root', 'organizationName: Root')), 5, /no commonName/],
    ['a country of three letters', plan(...swap(root, 'commonName: Root', '{commonName: Root, countryName: DEU}').filter((line) => line.length > 0)), 5, /correct it/],
    ['a name part that does not exist', plan(...swap(root, 'commonName: Root', 'comonName: Root')), 6, /must be one of commonName|is not a field/],
  ])('with %s is refused with its line and the remedy', (_, text, line, what) => {
    let refusal: unknown;
    try {
      parseCeremonyPlan(text, 'plan.yaml');
    } catch (error) {
      refusal = error;
    }
    expect(isPkiError(refusal) && refusal.code).toBe('ceremony.invalid');
    if (!isPkiError(refusal)) return;
    expect(refusal.message).toMatch(what);
    expect(refusal.message).toContain(`plan.yaml:${line}:`);
  });
});
