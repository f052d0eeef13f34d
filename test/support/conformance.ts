import { readdirSync, readFileSync } from 'node:fs';
import { isPkiError } from '@fleetroot/core';
import { decodePem, type PathInput, readRequest, validatePath, verifyPossession } from '@fleetroot/x509';

// What we make of suites that others wrote, and the page that says so.

const vectors = new URL('../vectors/', import.meta.url);
const corpus = new URL('../corpus/csr/', import.meta.url);
/** Of the cases that name no time; fixed, so that no verdict changes by itself. */
const TODAY = '2026-11-22T00:00:00Z';

export interface LimboCase {
  readonly id: string;
  readonly validation_kind: 'CLIENT' | 'SERVER';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly crls: readonly string[];
}

interface Difference {
  readonly scope: 'differs' | 'out-of-scope';
  readonly why: string;
}

const readJson = (file: string): unknown => JSON.parse(readFileSync(new URL(file, vectors), 'utf8'));

export const limboCases = (readJson('x509-limbo.json') as { testcases: readonly LimboCase[] }).testcases;
export const differences = readJson('x509-limbo.differences.json') as Readonly<Record<string, Difference>>;

/** `valid`, or the reason of the refusal. Errors of other kinds pass through. */
export function limboVerdict(limbo: LimboCase): string {
  const input = (): PathInput => ({
    leaf: ders([limbo.peer_certificate])[0] ?? new Uint8Array(0),
    intermediates: ders(limbo.untrusted_intermediates),
    anchors: ders(limbo.trusted_certs),
    time: new Date(limbo.validation_time ?? TODAY),
    purpose: limbo.validation_kind === 'CLIENT' ? 'clientAuth' : 'serverAuth',
    crls: limbo.crls.length === 0 ? undefined : ders(limbo.crls),
  });
  return refusal(() => validatePath(input())) ?? 'valid';
}

const ders = (pems: readonly string[]): Uint8Array[] =>
  pems.flatMap((pem) => decodePem(pem, 'certificate.malformed')).map(({ der }) => der);

function refusal(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (!isPkiError(error)) throw error;
    const reason = error.data['reason'];
    return typeof reason === 'string' ? reason : error.code;
  }
  return undefined;
}

export const agrees = ({ expected_result }: LimboCase, verdict: string): boolean =>
  (expected_result === 'SUCCESS') === (verdict === 'valid');

interface CorpusResult {
  readonly file: string;
  readonly good: boolean;
  /** `accepted` and the kind of the key, or the code of the refusal. */
  readonly result: string;
}

export function corpusResults(): CorpusResult[] {
  return (['good', 'bad'] as const).flatMap((kind) => readdirSync(new URL(kind, corpus)).sort().map((file): CorpusResult => {
    const octets = new Uint8Array(readFileSync(new URL(`${kind}/${file}`, corpus)));
    let result = '';
    const refused = refusal(() => {
      const request = readRequest(octets);
      verifyPossession(request);
      result = `accepted (${request.key.keyType}, ${request.signatureAlgorithm})`;
    });
    return { file: `${kind}/${file}`, good: kind === 'good', result: refused ?? result };
  }));
}

/** docs/conformance.md */
export function conformancePage(verdicts: ReadonlyMap<string, string>): string {
  const groups = Map.groupBy(limboCases, ({ id }) => id.slice(0, id.indexOf('::')));
  const counts = (cases: readonly LimboCase[]): string => {
    const same = cases.filter((one) => agrees(one, verdicts.get(one.id) ?? ''));
    const other = cases.filter((one) => !same.includes(one)).map(({ id }) => differences[id]?.scope);
    const count = (scope: Difference['scope']): number => other.filter((found) => found === scope).length;
    return [cases.length, same.length, count('differs'), count('out-of-scope')].join(' | ');
  };
  const differing = limboCases.filter((one) => !agrees(one, verdicts.get(one.id) ?? ''));
  const requests = corpusResults();
  return `# Conformance

What Fleetroot makes of suites that others wrote. This page is generated and compared by
\`test/integration/x509-limbo.test.ts\`; where it is stale, \`npm test\` fails.

## Path validation: C2SP/x509-limbo

${limboCases.length} chains, Apache-2.0, from [C2SP/x509-limbo](https://github.com/C2SP/x509-limbo); origin and how to update: \`test/vectors/README.md\`.
*Differs*: we decide otherwise, knowingly. *Out of scope*: a rule of the public web or of host names, which is not what
\`validatePath\` is for. The verdict of each case is pinned in \`test/vectors/x509-limbo.verdicts.json\`.

| group | cases | agree | differ | out of scope |
|---|---:|---:|---:|---:|
${[...groups].map(([group, cases]) => `| ${group} | ${counts(cases)} |`).join('\n')}
| all | ${counts(limboCases)} |

| case | suite | we | why |
|---|---|---|---|
${differing.map((one) => `| \`${one.id}\` | ${one.expected_result === 'SUCCESS' ? 'valid' : 'refused'} | ${verdicts.get(one.id) ?? ''} | ${scopeOf(one.id)} |`).join('\n')}

Policies are processed by the graph of RFC 9618, which is linear where the tree of RFC 5280 was exponential. CRLs must be
complete ones of the profile of RFC 5280 section 5: delta CRLs, indirect CRLs and those of an issuing distribution point
are refused, not skipped. Revocation of an anchor is not looked at: an anchor is taken out of the truststore instead.

## Requests: \`test/corpus/csr\`

Requests of seven programs, and what must be refused. ${requests.filter(({ good, result }) => good === result.startsWith('accepted')).length} of ${requests.length} come out as the corpus asks.

| file | result |
|---|---|
${requests.map(({ file, result }) => `| \`${file}\` | ${result.startsWith('accepted') ? result : `\`${result}\``} |`).join('\n')}
`;
}

function scopeOf(id: string): string {
  const found = differences[id];
  if (found === undefined) return '';
  return found.scope === 'out-of-scope' ? `out of scope: ${found.why}` : found.why;
}
