import { createPublicKey, ECDH, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { errorCode, pkiError } from '../../../test/support/error-code.ts';
import {
  type Approval, approvalAlgorithm, approvalRequest, approvalStatement, countApprovals, describeApprovals, type Officer, parseApproval,
  parseApprovalRequest, requireApprovals, type ToApprove, verifyApproval,
} from '../src/index.ts';

interface Person extends Officer {
  readonly privateKey: KeyObject;
}

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

const person = (name: string, { publicKey, privateKey }: Pair): Person =>
  ({ name, privateKey, spkiDer: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })) });
const ecPair = (namedCurve: string): Pair => generateKeyPairSync('ec', { namedCurve });
const rsaPair = (modulusLength: number): Pair => generateKeyPairSync('rsa', { modulusLength });

const hash = 'ab'.repeat(32);
const title = 'Roots of Example Motors';
const digests: Readonly<Record<string, string>> = { 'ecdsa-sha256': 'sha256', 'ecdsa-sha384': 'sha384', 'rsa-sha256': 'sha256' };

function approve(officer: Person, { as = officer.name, sha256 = hash, signedTitle = title } = {}): Approval {
  const statement = approvalStatement({ title: signedTitle, officer: as, sha256 });
  const signature = sign(digests[approvalAlgorithm(officer)] ?? null, statement, officer.privateKey);
  return { officer: as, sha256, at: '2026-11-22T12:00:00.000Z', signature: signature.toString('base64') };
}

const alice = person('alice', ecPair('P-256'));
const bob = person('bob', ecPair('P-384'));
const carol = person('carol', generateKeyPairSync('ed25519'));
const dave = person('dave', rsaPair(3072));
const mallory = person('mallory', ecPair('P-256'));
const officers = [alice, bob, carol, dave];
const toApprove = (approvals: number, by: readonly Officer[] = officers): ToApprove => ({ title, sha256: hash, approvals, officers: by });

describe('the statement of an approval', () => {
  it('is these lines', () => {
    expect(new TextDecoder().decode(approvalStatement({ title, officer: 'alice', sha256: hash }))).toBe([
      'Fleetroot ceremony approval',
      'Ceremony: Roots of Example Motors',
      'Officer:  alice',
      `SHA-256:  ${hash}`,
      'I have read the dry run of this SHA-256 and approve that exactly this is signed.',
      '',
    ].join('\n'));
  });

  it.each([
    ['a line break', 'Roots\nOfficer:  bob'], ['a carriage return', 'a\rb'], ['a right-to-left mark', 'a\u202eb'],
    ['a zero-width space', 'a\u200bb'], ['a line separator', 'a\u2028b'], ['a letter that is blank', 'a\u3164b'], ['half a character', 'a\ud800b'],
    ['a space at its end', 'a '], ['two spaces', 'a  b'], ['a space of another width', 'a\u00a0b'], ['a character that selects a variation', 'a\ufe0f'],
  ])('has no room for %s in a title or a name', (_, text) => {
    expect(errorCode(() => approvalStatement({ title: text, officer: 'alice', sha256: hash }))).toBe('ceremony.invalid');
    expect(errorCode(() => approvalStatement({ title, officer: text, sha256: hash }))).toBe('ceremony.invalid');
  });
});

describe('the key of an officer', () => {
  it.each(officers.map((officer) => [officer.name, officer] as const))('of %s signs', (_, officer) => {
    expect(verifyApproval(toApprove(1), officer, approve(officer))).toBe(true);
    expect(verifyApproval({ title, sha256: 'cd'.repeat(32) }, officer, approve(officer))).toBe(false);
    expect(verifyApproval(toApprove(1), officer, { ...approve(officer), signature: 'not base64' })).toBe(false);
  });

  it.each<[string, Pair, string]>([
    ['P-521', ecPair('P-521'), 'ceremony.invalid'],
    ['RSA of 2048 bits', rsaPair(2048), 'ceremony.invalid'],
    ['RSA that signs PSS alone', generateKeyPairSync('rsa-pss', { modulusLength: 3072 }), 'ceremony.invalid'],
    ['secp256k1', ecPair('secp256k1'), 'request.key-refused'],
    ['X25519', generateKeyPairSync('x25519'), 'request.key-refused'],
  ])('is not %s', (_, pair, code) => {
    expect(errorCode(() => approvalAlgorithm(person('eve', pair)))).toBe(code);
  });

  it.each(['P-256', 'P-384'])('on %s is not written in a second way, which would be a second officer', (curve) => {
    const eve = person('eve', ecPair(curve));
    const bits = curve === 'P-256' ? 32 : 48;
    const point = eve.spkiDer.subarray(-2 * bits);
    const short = ECDH.convertKey(Buffer.from([4, ...point]), curve === 'P-256' ? 'prime256v1' : 'secp384r1', undefined, undefined, 'compressed') as Buffer;
    const head = Uint8Array.from(eve.spkiDer.subarray(0, -2 * bits - 1));
    head[1] = (head[1] ?? 0) - bits;
    head[head.length - 2] = (head[head.length - 2] ?? 0) - bits;
    const twin = { name: 'twin', spkiDer: new Uint8Array([...head, ...short]) };
    expect(createPublicKey({ key: Buffer.from(twin.spkiDer), type: 'spki', format: 'der' }).equals(createPublicKey(eve.privateKey))).toBe(true);
    expect(pkiError(() => approvalAlgorithm(twin))).toMatchObject({ code: 'ceremony.invalid', message: expect.stringContaining('uncompressed') });
  });
});

describe('approvals', () => {
  const names = (approvals: readonly Approval[]): string[] => approvals.map(({ officer }) => officer);

  it('are enough, whoever of the officers gives them', () => {
    expect(names(requireApprovals(toApprove(2), [approve(carol), approve(alice)], 'erin'))).toEqual(['carol', 'alice']);
    expect(names(requireApprovals(toApprove(2), officers.map((officer) => approve(officer)), 'erin'))).toEqual(['alice', 'bob', 'carol', 'dave']);
    expect(requireApprovals(toApprove(0), [], 'erin')).toEqual([]);
  });

  it.each<[string, Approval[], string, string]>([
    ['none', [], 'erin', '0 of 2 approvals; waiting for 2 of alice, bob, carol, dave'],
    ['one', [approve(alice)], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave'],
    ['one twice', [approve(alice), approve(alice)], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave'],
    ['their own', [approve(alice), approve(bob)], 'bob', '1 of 2 approvals: alice; waiting for one of carol, dave; not counted: bob: holds this ceremony, and nobody approves their own'],
    ['their own, spelt otherwise', [approve(alice), approve(bob)], ' Bob', '1 of 2 approvals: alice; waiting for one of carol, dave; not counted: bob: holds this ceremony, and nobody approves their own'],
    ['another dry run', [approve(alice), approve(bob, { sha256: 'cd'.repeat(32) })], 'erin', `1 of 2 approvals: alice; waiting for one of bob, carol, dave; not counted: bob: has approved another dry run, ${'cd'.repeat(32)}`],
    ['another dry run, under this hash', [approve(alice), { ...approve(bob, { sha256: 'cd'.repeat(32) }), sha256: hash }], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave; not counted: bob: the signature is not this officer\'s over this dry run'],
    ['another title', [approve(alice), approve(bob, { signedTitle: 'Another' })], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave; not counted: bob: the signature is not this officer\'s over this dry run'],
    ['a stranger', [approve(alice), approve(mallory)], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave; not counted: mallory: is no officer of this ceremony'],
    ['a stranger in an officer\'s name', [approve(alice), approve(mallory, { as: 'bob' })], 'erin', '1 of 2 approvals: alice; waiting for one of bob, carol, dave; not counted: bob: the signature is not this officer\'s over this dry run'],
  ])('are not enough: %s', (_, approvals, by, message) => {
    expect(pkiError(() => requireApprovals(toApprove(2), approvals, by))).toMatchObject({ code: 'ceremony.not-approved', message });
  });

  it.each([['Zo\u00eb Smith', 'Zoe\u0308 Smith'], ['Zo\u00eb Smith', 'zo\u00eb\u00a0 smith'], ['Zo\u00eb Smith', '\uff3ao\u00eb Smith']])('of %s are not those of another than %s', (name, by) => {
    const zoe = person(name, ecPair('P-256'));
    expect(countApprovals(toApprove(1, [zoe]), [approve(zoe)], by)).toMatchObject({ counted: [], open: [] });
  });

  it('do not count twice for one key under two names', () => {
    const twin = { ...alice, name: 'alicia' };
    const count = countApprovals(toApprove(2, [alice, twin, bob]), [approve(alice), approve(twin)], 'erin');
    expect(names(count.counted)).toEqual(['alice']);
    expect(count.open).toEqual(['bob']);
  });

  it('say where they can never be enough', () => {
    expect(describeApprovals(countApprovals(toApprove(2, [alice, bob]), [], 'bob')))
      .toBe('0 of 2 approvals; 2 more must come, but only alice is left who may approve');
    expect(describeApprovals(countApprovals(toApprove(2, [alice, bob]), [approve(alice)], 'bob')))
      .toBe('1 of 2 approvals: alice; 1 more must come, but no officer is left who may approve');
  });

  it.each(['', '[]', '{}', JSON.stringify({ ...approve(alice), more: 1 }), JSON.stringify({ ...approve(alice), sha256: hash.toUpperCase() })])('are files of one form: %s is none', (text) => {
    expect(errorCode(() => parseApproval(text))).toBe('ceremony.invalid');
  });

  it('are read back as they were written', () => {
    expect(parseApproval(`${JSON.stringify(approve(dave), null, 2)}\n`)).toMatchObject({ officer: 'dave', sha256: hash });
  });

  it('are asked for in a file that is read back', () => {
    const asked = toApprove(2, officers.map(({ name, spkiDer }) => ({ name, spkiDer })));
    expect(parseApprovalRequest(approvalRequest(asked))).toEqual(asked);
    expect(errorCode(() => parseApprovalRequest('{}'))).toBe('ceremony.invalid');
  });
});
