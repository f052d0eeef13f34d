import { der, extension, type Extension } from '@fleetroot/x509';
import { caRights, certify, named, type SoftwareCa } from './software-ca.ts';

// Paths whose certificates speak of policies, for our own tests and for OpenSSL's opinion of the same.

export const policyId = (letter: string): string => `1.3.6.1.4.1.99999.7.${letter.charCodeAt(0)}`;

export const policyOf = (...letters: readonly string[]): Extension => extension.certificatePolicies(letters.map(policyId));
export const anyPolicy: Extension = extension.certificatePolicies(['2.5.29.32.0']);
export const mappings = (...pairs: readonly (readonly [string, string])[]): Extension => ({
  oid: '2.5.29.33', critical: true,
  value: der.sequence(...pairs.map(([from, to]) => der.sequence(der.oid(policyId(from)), der.oid(policyId(to))))),
});
export const inhibitAny = (count: number): Extension => ({ oid: '2.5.29.54', critical: true, value: der.integer(count) });
export const policyConstraints = ({ explicit, mapping }: { explicit?: number; mapping?: number }): Extension => ({
  oid: '2.5.29.36', critical: true,
  value: der.sequence(
    ...(explicit === undefined ? [] : [der.tlv(0x80, Uint8Array.of(explicit))]),
    ...(mapping === undefined ? [] : [der.tlv(0x81, Uint8Array.of(mapping))]),
  ),
});

export interface PolicyChain {
  readonly leaf: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
  readonly anchor: Uint8Array;
}

export type Extensions = readonly Extension[];
/** Stands for a CA that issued itself a certificate: the name of the CA above it. */
export const selfIssued: Extension = { oid: 'self-issued', critical: false, value: new Uint8Array(0) };

/** Below an anchor that says nothing: the CAs from the top down, the leaf last. */
export const policyChain = (...certificates: readonly Extensions[]): PolicyChain => policyChainUnder([], ...certificates);

export function policyChainUnder(ofAnchor: Extensions, ...certificates: readonly Extensions[]): PolicyChain {
  const root = certify({ subject: named('Root'), extensions: [...caRights, ...ofAnchor] });
  const made: SoftwareCa[] = [];
  let name = 'Root';
  for (const [place, extensions] of certificates.entries()) {
    const issuer = made.at(-1) ?? root;
    const isLeaf = place === certificates.length - 1;
    if (!extensions.includes(selfIssued)) name = isLeaf ? 'leaf' : `CA ${place}`;
    const own = extensions.filter((one) => one !== selfIssued);
    made.push(certify({ subject: named(name), issuer, extensions: [...(isLeaf ? [extension.keyUsage(['digitalSignature'])] : caRights), ...own] }));
  }
  const ders = made.map(({ certificate }) => certificate);
  return { leaf: ders.at(-1) ?? root.certificate, intermediates: ders.slice(0, -1), anchor: root.certificate };
}

export interface PolicyPath {
  readonly name: string;
  readonly path: () => Extensions[];
  /** OIDs one of which the path must be valid for; undefined: any, and none is fine. */
  readonly wanted: readonly string[] | undefined;
  readonly expected: 'valid' | 'policy';
}

const A = [policyId('A')];
const B = [policyId('B')];
const row = (name: string, wanted: readonly string[] | undefined, expected: PolicyPath['expected'], ...path: Extensions[]): PolicyPath =>
  ({ name, wanted, expected, path: () => path });

export const policyPaths: readonly PolicyPath[] = [
  row('none, and none asked for', undefined, 'valid', [], []),
  row('none, though one is asked for', A, 'policy', [], []),
  row('the one that is asked for', A, 'valid', [policyOf('A')], [policyOf('A')]),
  row('another than the one asked for', B, 'policy', [policyOf('A')], [policyOf('A')]),
  row('one of two', B, 'valid', [policyOf('A', 'B')], [policyOf('B')]),
  row('one that the CA does not have', B, 'policy', [policyOf('A')], [policyOf('A', 'B')]),
  row('one that the leaf does not have', A, 'policy', [policyOf('A')], []),
  row('one that a CA in the middle does not have', A, 'policy', [policyOf('A')], [], [policyOf('A')]),
  row('anyPolicy in the CA', A, 'valid', [anyPolicy], [policyOf('A')]),
  row('anyPolicy all the way', A, 'valid', [anyPolicy], [anyPolicy], [anyPolicy]),
  row('anyPolicy in the leaf', A, 'valid', [policyOf('A')], [anyPolicy]),
  row('anyPolicy in the leaf, inhibited', A, 'policy', [policyOf('A'), inhibitAny(0)], [anyPolicy]),
  row('anyPolicy in the leaf, inhibited from the next on', A, 'valid', [policyOf('A'), inhibitAny(1)], [anyPolicy]),
  row('anyPolicy two below, inhibited from the next on', A, 'policy', [policyOf('A'), inhibitAny(1)], [policyOf('A')], [anyPolicy]),
  row('anyPolicy inhibited, but in a self-issued CA', A, 'valid', [policyOf('A'), inhibitAny(0)], [selfIssued, anyPolicy], [policyOf('A')]),
  row('a policy required, and there is one', undefined, 'valid', [policyOf('A'), policyConstraints({ explicit: 0 })], [policyOf('A')]),
  row('a policy required, and there is none', undefined, 'policy', [policyOf('A'), policyConstraints({ explicit: 0 })], []),
  row('a policy required of the one below the next', undefined, 'valid', [policyOf('A'), policyConstraints({ explicit: 2 })], []),
  row('a policy required by the leaf itself', undefined, 'policy', [], [policyConstraints({ explicit: 0 })]),
  row('mapped to what the leaf has', A, 'valid', [policyOf('A'), mappings(['A', 'B'])], [policyOf('B')]),
  row('mapped, but the leaf has the old one', A, 'policy', [policyOf('A'), mappings(['A', 'B'])], [policyOf('A')]),
  row('mapped to itself and another', A, 'valid', [policyOf('A'), mappings(['A', 'A'], ['A', 'B'])], [policyOf('A')]),
  row('mapped, asked for in the words of the leaf', B, 'policy', [policyOf('A'), mappings(['A', 'B'])], [policyOf('B')]),
  row('mapped from anyPolicy', A, 'valid', [anyPolicy, mappings(['A', 'B'])], [policyOf('B')]),
  row('mapped twice', A, 'valid', [policyOf('A'), mappings(['A', 'B'])], [policyOf('B'), mappings(['B', 'C'])], [policyOf('C')]),
  row('mapped where mapping is inhibited', A, 'policy', [policyOf('A'), policyConstraints({ mapping: 0 })], [policyOf('A'), mappings(['A', 'B'])], [policyOf('B')]),
  row('mapped where mapping is inhibited later', A, 'valid', [policyOf('A'), policyConstraints({ mapping: 1 })], [policyOf('A'), mappings(['A', 'B'])], [policyOf('B')]),
  row('two mapped to one', B, 'valid', [policyOf('A', 'B'), mappings(['A', 'C'], ['B', 'C'])], [policyOf('C')]),
];
