import { describe, expect, it, test } from 'vitest';
import { pkiError } from '../../../test/support/error-code.ts';
import { caRights, certify, named, p256, type SoftwareCa } from '../../../test/support/software-ca.ts';
import { assembleCrl, buildCrlTbs, type CrlFields, extension, validatePath } from '../src/index.ts';

const time = new Date('2026-11-22T12:00:00Z');
const serial = Uint8Array.of(0x41, 0x42);
const root = certify({ subject: named('Root') });
const middle = certify({ subject: named('Middle'), issuer: root, serial: Uint8Array.of(0x77) });
const leaf = certify({ subject: named('leaf'), issuer: middle, serial, extensions: [extension.keyUsage(['digitalSignature'])] });
const entry = (octets: Uint8Array, reason = 1) => ({ serial: octets, revokedAt: new Date('2026-11-01T00:00:00Z'), reason });

function crl(ca: SoftwareCa, entries: CrlFields['entries'] = [], more: Partial<CrlFields> = {}, signer: SoftwareCa = ca): Uint8Array {
  const tbs = buildCrlTbs({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: ca.subjectDer, thisUpdate: new Date('2026-11-20T00:00:00Z'),
    nextUpdate: new Date('2026-11-27T00:00:00Z'), number: 5n, authorityKeyIdentifier: ca.keyId, entries, ...more,
  });
  return assembleCrl(tbs, 'ecdsa-sha256', signer.sign(tbs));
}

const verdict = (crls: readonly Uint8Array[] | undefined, path = { leaf, middle, root }) => {
  const error = pkiError(() => validatePath({
    leaf: path.leaf.certificate, intermediates: [path.middle.certificate], anchors: [path.root.certificate], time,
    purpose: 'clientAuth', crls,
  }));
  if (error !== undefined && error.code !== 'certificate.path-invalid') throw error;
  return error === undefined ? 'valid' : `${String(error.data['reason'])} ${String(error.data['depth'])}`;
};

describe('revocation along a path (RFC 5280 section 6.3.3)', () => {
  const other = certify({ subject: named('Middle'), issuer: root });
  const rolled = certify({ subject: named('Middle'), key: p256(), issuer: root });
  const before = { thisUpdate: new Date('2026-11-01T00:00:00Z'), nextUpdate: new Date('2026-11-08T00:00:00Z') };
  const after = { thisUpdate: new Date('2026-11-23T00:00:00Z'), nextUpdate: new Date('2026-11-30T00:00:00Z') };
  test.each<[string, string, () => readonly Uint8Array[] | undefined]>([
    ['nothing given', 'valid', () => undefined],
    ['nobody revoked', 'valid', () => [crl(root), crl(middle)]],
    ['others revoked', 'valid', () => [crl(root, [entry(serial)]), crl(middle, [entry(Uint8Array.of(0x41))])]],
    ['the leaf revoked', 'revoked 0', () => [crl(root), crl(middle, [entry(serial)])]],
    ['the leaf on hold', 'revoked 0', () => [crl(root), crl(middle, [entry(serial, 6)])]],
    ['the CA revoked', 'revoked 1', () => [crl(middle), crl(root, [entry(Uint8Array.of(0x77))])]],
    ['no CRL at all', 'crl-missing 1', () => []],
    ['no CRL of the root', 'crl-missing 1', () => [crl(middle)]],
    ['no CRL of the CA', 'crl-missing 0', () => [crl(root)]],
    ['only one of a CA of the same name with another key', 'crl-missing 0', () => [crl(root), crl(other)]],
    ['one beside it that belongs to the CA\'s next key', 'valid', () => [crl(root), crl(rolled, [entry(serial)]), crl(middle)]],
    ['one past its nextUpdate', 'crl-expired 0', () => [crl(root), crl(middle, [], before)]],
    ['one past its nextUpdate that lists the leaf', 'revoked 0', () => [crl(root), crl(middle, [entry(serial)], before)]],
    ['one up to the second of its nextUpdate', 'valid', () => [crl(root), crl(middle, [], { nextUpdate: time })]],
    ['one from the future', 'crl-not-yet-valid 0', () => [crl(root), crl(middle, [], after)]],
    ['one from the second of its thisUpdate', 'valid', () => [crl(root), crl(middle, [], { thisUpdate: time })]],
    ['a newer one that released the leaf', 'valid', () => [crl(root), crl(middle, [entry(serial, 6)]), crl(middle, [], { number: 6n })]],
    ['a newer one that revoked the leaf', 'revoked 0', () => [crl(root), crl(middle, [entry(serial)], { number: 6n }), crl(middle)]],
    ['one that another key signed', 'crl-signature 0', () => [crl(root), crl(middle, [], {}, root)]],
    ['one that another key signed, beside a genuine one', 'valid', () => [crl(root), crl(middle, [entry(serial)], { number: 9n }, root), crl(middle)]],
    ['what is no CRL', 'crl-invalid 0', () => [crl(root), crl(middle), Uint8Array.of(0x30, 0)]],
    ['one that lists a serial twice', 'crl-invalid 0', () => [crl(root), twice(crl(middle, [entry(Uint8Array.of(1)), entry(Uint8Array.of(2))]))]],
  ])('%s: %s', (_, expected, crls) => expect(verdict(crls())).toBe(expected));

  /** Turns the second of two serials into the first. The signature no longer fits, but this is seen before. */
  function twice(der: Uint8Array): Uint8Array {
    const changed = Buffer.from(der);
    changed[changed.lastIndexOf(Buffer.from([2, 1, 2])) + 2] = 1;
    return changed;
  }

  test.each([[['keyCertSign', 'cRLSign'], 'valid'], [['keyCertSign'], 'crl-key-usage 0'], [undefined, 'valid']] as const)('of a CA that may %s: %s', (uses, expected) => {
    const rights = uses === undefined ? [extension.basicConstraints({ ca: true })] : [extension.basicConstraints({ ca: true }), extension.keyUsage([...uses])];
    const ca = certify({ subject: named('Middle'), issuer: root, extensions: rights });
    const below = certify({ subject: named('leaf'), issuer: ca, extensions: [extension.keyUsage(['digitalSignature'])] });
    expect(verdict([crl(root), crl(ca)], { leaf: below, middle: ca, root })).toBe(expected);
  });

  it('is not asked of the anchor', () => {
    const self = certify({ subject: named('Root'), serial: Uint8Array.of(9), extensions: caRights });
    const below = certify({ subject: named('leaf'), issuer: self, extensions: [extension.keyUsage(['digitalSignature'])] });
    expect(verdict([crl(self, [entry(Uint8Array.of(9))])], { leaf: below, middle, root: self })).toBe('valid');
  });
});
