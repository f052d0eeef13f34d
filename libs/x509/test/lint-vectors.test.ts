import { readdirSync, readFileSync } from 'node:fs';
import { compileLint, DerReader, der, lintCertificate, parseCertificate } from '@fleetroot/x509';
import { describe, expect, test } from 'vitest';
import { files, type GoldenContext } from '../../../test/vectors/lint/make.ts';
import { rules } from '../src/lint/rules.ts';

const folder = new URL('../../../test/vectors/lint/', import.meta.url);
const read = (file: string): Uint8Array => readFileSync(new URL(file, folder));
const goldens = JSON.parse(Buffer.from(read('goldens.json')).toString()) as GoldenContext[];

/** What is signed of a certificate that need not be one that we would read. */
function tbsIn(certificate: Uint8Array): Uint8Array {
  return new DerReader(certificate, 'certificate.malformed').enter(der.tag.sequence, 'certificate').element('tbsCertificate');
}

const contextOf = ({ kind, issuer, maxOctets }: GoldenContext) =>
  ({ kind, maxOctets, issuer: issuer === undefined ? undefined : parseCertificate(read(issuer)) });

describe('each rule has a certificate that breaks it alone', () => {
  test.each(goldens)('$rule: $why', (golden) => {
    const tbs = tbsIn(read(`${golden.rule}.der`));
    const findings = lintCertificate(tbs, contextOf(golden));
    expect(findings.map(({ rule }) => rule)).toEqual([golden.rule]);
    // A compiled lint that has seen a good certificate of that issuer says the same.
    const compiled = compileLint(contextOf(golden));
    compiled(tbsIn(read('good.der')));
    expect(compiled(tbs)).toEqual(findings);
  });

  test('and none is missing, twice, or of a rule that is no more', () => {
    expect(goldens.map(({ rule }) => rule).toSorted()).toEqual(['well-formed', ...rules.map(({ name }) => name)].toSorted());
    expect(readdirSync(folder).filter((file) => /\.(?:der|json)$/.test(file)).toSorted()).toEqual([...files().keys()].toSorted());
  });

  test('with whose good neighbour nothing is wrong', () => {
    expect(lintCertificate(tbsIn(read('good.der')), { kind: 'leaf', issuer: parseCertificate(read('issuer.der')) })).toEqual([]);
  });

  test('made by make.ts, octet for octet', () => {
    for (const [file, octets] of files()) expect(Buffer.compare(read(file), octets), file).toBe(0);
  });
});
