import { caName, PkiError } from '@fleetroot/core';
import { assembleCrl, buildCrlTbs, CrlEntries, extension, signatureAlgorithmFor } from '@fleetroot/x509';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { certify, type CertificateFields, named, p256, type SoftwareCa } from '../../../test/support/software-ca.ts';
import {
  type CrlLedger, type GivenAuthority, importAuthority, importCertificate, importCeremony, importCrl, type ListedRevocation, type PublishedCrl, type RevokedEntry,
} from '../src/index.ts';
import { importForeignCross } from '../src/hierarchy/import.ts';
import { MemoryAuthorities, serialHex } from './support/hierarchy.ts';

const now = new Date('2026-11-22T10:00:00Z');
const options = { actor: 'system:test', clock: { now: () => now } };
const day = 86_400_000;
const at = (days: number) => new Date(now.getTime() + days * day);
const both = extension.keyUsage(['keyCertSign', 'cRLSign']);
const caExtensions = (pathLength: number) => [extension.basicConstraints({ ca: true, pathLength }), both];
const responder = [
  extension.basicConstraints({ ca: false }), extension.keyUsage(['digitalSignature']), extension.extendedKeyUsage(['OCSPSigning']), extension.ocspNoCheck(),
];

const rootKey = certify({ subject: named('Root') });
const subKey = certify({ subject: named('Sub'), issuer: rootKey, extensions: caExtensions(0) });

let ledger: MemoryAuthorities;
const give = (name: string, ca: SoftwareCa, more: Partial<GivenAuthority> = {}) =>
  importAuthority(ledger, { certificate: ca.certificate, name: caName(name), state: 'active', ...more }, options);
const refusal = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run();
  } catch (error) {
    if (error instanceof PkiError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
};

beforeEach(() => { ledger = new MemoryAuthorities(); });

describe('importing a CA', () => {
  it('finds the parent by name, key identifier and signature, whatever else has that name', async () => {
    await give('namesake', certify({ subject: named('Root') }));
    const { authority: root } = await give('root', rootKey);
    const { authority, changed } = await give('sub', subKey, { keyId: Uint8Array.of(1), labels: { brand: 'north' } });
    expect([authority.parentId, authority.state, authority.labels, changed]).toEqual([root.id, 'active', { brand: 'north' }, true]);
    expect(ledger.events.at(-1)).toMatchObject({ action: 'ca.imported', subject: 'ca:sub', data: { parent: 'root', keyId: '01' } });
  });

  it('changes nothing the second time, even when the CA above is trusted no more', async () => {
    const { authority: root } = await give('root', rootKey);
    await give('sub', subKey);
    await ledger.revoke({ caId: root.id, reason: 1, revokedAt: now, principalId: 1 }, { action: 'ca.revoked', actor: 'x', at: now, subject: 'x', data: {} });
    const events = ledger.events.length;
    expect((await give('sub', subKey)).changed).toBe(false);
    expect(ledger.events).toHaveLength(events);
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['whose issuer is not on record', () => give('sub', subKey), /certificate-refused.*CN=Root is not on record: import that first/],
    ['whose issuer has another key', async () => {
      await give('root', certify({ subject: named('Root') }));
      await give('sub', subKey);
    }, /not on record with the key that it names/],
    ['forged', async () => {
      await give('root', rootKey);
      await give('sub', certify({ subject: named('Sub'), issuer: rootKey, forged: true }));
    }, /does not verify under the key of root/],
    ['of the key of another', async () => {
      await give('root', rootKey);
      await give('other', rootKey);
    }, /ca\.conflict.*that of the CA root/],
    ['that cannot sign as it says', () => give('root', rootKey, { signatureAlgorithm: 'rsa-sha256' }), /cannot sign with rsa-sha256/],
    ['that is no certificate', () => importAuthority(ledger, { certificate: Uint8Array.of(1), name: caName('x'), state: 'active' }, options), /cannot be read/],
    ['that follows nobody on record', () => give('root', rootKey, { succeeds: caName('none') }), /ca\.not-found/],
  ])('%s is refused', async (_, run, why) => expect(await refusal(run)).toMatch(why));

  it('that follows another is prepared, and does so at the end of that one unless told', async () => {
    const { authority: old } = await give('root', rootKey);
    const { authority } = await give('root-g2', certify({ subject: named('Root G2') }), { succeeds: caName('root') });
    expect(authority.state).toBe('prepared');
    expect(ledger.cas.find(({ id }) => id === old.id)).toMatchObject({ successorId: authority.id, switchAt: old.notAfter });
    expect(await refusal(() => give('root-g3', certify({ subject: named('Root G3') }), { succeeds: caName('root') }))).toMatch(/ca\.conflict/);
  });
});

describe('one more certificate of a CA', () => {
  it('by its issuer renews it; by another it crosses; the same again is nothing', async () => {
    const key = p256();
    const first = certify({ subject: named('Sub'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(100) });
    const renewed = certify({ subject: named('Sub'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(300) });
    const otherRoot = certify({ subject: named('Other root') });
    const crossed = certify({ subject: named('Sub'), issuer: otherRoot, key, extensions: caExtensions(0), notAfter: at(300) });
    await give('root', rootKey);
    await give('other', otherRoot);
    const { authority } = await give('sub', first);
    expect(await importCertificate(ledger, authority, renewed.certificate, options)).toMatchObject({ kind: 'ca', issuer: { name: 'root' }, changed: true });
    expect((await ledger.byName(caName('sub'))).notAfter).toEqual(at(300));
    expect(await importCertificate(ledger, await ledger.byName(caName('sub')), crossed.certificate, options)).toMatchObject({ kind: 'cross', issuer: { name: 'other' }, changed: true });
    for (const { certificate } of [first, renewed, crossed]) {
      expect((await importCertificate(ledger, await ledger.byName(caName('sub')), certificate, options)).changed).toBe(false);
    }
    // As `importAuthority` has it too.
    expect((await give('sub', crossed)).changed).toBe(false);
  });

  test.each<[string, () => SoftwareCa, RegExp]>([
    ['for another key', () => certify({ subject: named('Sub'), issuer: rootKey, extensions: caExtensions(0) }), /another key/],
    ['of a leaf', () => certify({ subject: named('ocsp'), issuer: rootKey, extensions: [extension.basicConstraints({ ca: false })] }), /neither of a CA nor of an OCSP signer/],
    ['of an OCSP signer that is checked for revocation', () => certify({ subject: named('ocsp'), issuer: rootKey, extensions: responder.slice(0, 3) }), /ocsp-nocheck/],
    ['of an OCSP signer of another CA', () => certify({ subject: named('ocsp'), issuer: certify({ subject: named('Root') }), extensions: responder }), /not signed by the CA/],
    ['of an OCSP signer that has expired', () => certify({ subject: named('ocsp'), issuer: rootKey, extensions: responder, notAfter: at(-1) }), /expired/],
  ])('%s is refused', async (_, make, why) => {
    const { authority } = await give('root', rootKey);
    expect(await refusal(() => importCertificate(ledger, authority, make().certificate, options))).toMatch(why);
  });

  it('that is not valid yet renews nothing: the CA would issue nothing until it is', async () => {
    const key = p256();
    const renewed = (from: Date) => certify({ subject: named('Sub'), issuer: rootKey, key, extensions: caExtensions(0), notBefore: from, notAfter: at(300) });
    await give('root', rootKey);
    const { authority } = await give('sub', certify({ subject: named('Sub'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(100) }));
    expect(await refusal(() => importCertificate(ledger, authority, renewed(at(1)).certificate, options))).toMatch(/certificate-refused.*begins at 2026-11-23T10:00:00\.000Z/);
    expect((await ledger.byName(authority.name)).notAfter).toEqual(at(100));
    expect(await importCertificate(ledger, authority, renewed(now).certificate, options)).toMatchObject({ changed: true });
  });

  it.each(['renewed', 'crossed'])('that is %s keeps the key identifier: all that the CA has signed points to it', async (what) => {
    const key = p256();
    const otherRoot = certify({ subject: named('Other root') });
    const issuer = what === 'renewed' ? rootKey : otherRoot;
    const spoilt = certify({ subject: named('Sub'), issuer, key, extensions: caExtensions(0), keyId: new Uint8Array(20) });
    await give('root', rootKey);
    await give('other', otherRoot);
    const { authority } = await give('sub', certify({ subject: named('Sub'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(100) }));
    expect(await refusal(() => importCertificate(ledger, authority, spoilt.certificate, options))).toMatch(/certificate-refused.*subject key identifier/);
  });

  it('may be that of an OCSP signer', async () => {
    const { authority } = await give('root', rootKey);
    const signer = certify({ subject: named('ocsp'), issuer: rootKey, extensions: responder });
    expect(await importCertificate(ledger, authority, signer.certificate, options)).toMatchObject({ kind: 'ocsp-signer', changed: true });
    expect(await importCertificate(ledger, authority, signer.certificate, options)).toMatchObject({ changed: false });
  });
});

/** One CA's CRLs by the rules of the port. */
class MemoryCrls implements Pick<CrlLedger, 'latest' | 'entries' | 'adopt'> {
  rows: RevokedEntry[] = [];
  adopted: PublishedCrl[] = [];
  async latest(): Promise<PublishedCrl | undefined> {
    return this.adopted.at(-1);
  }
  async *entries(): AsyncIterable<RevokedEntry> {
    yield* this.rows;
  }
  async adopt(crl: PublishedCrl, _entries: number, _event: unknown, listed: readonly ListedRevocation[] = []): Promise<boolean> {
    if (crl.number <= (this.adopted.at(-1)?.number ?? 0n)) return false;
    this.rows.push(...listed);
    this.adopted.push(crl);
    return true;
  }
}

interface CrlGiven {
  readonly number?: bigint;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  readonly issuer?: SoftwareCa;
  readonly signedBy?: SoftwareCa;
  readonly keyId?: Uint8Array;
  readonly entries?: readonly { serial: Uint8Array; reason: number }[];
}

function crlOf({ number = 1n, thisUpdate = at(-1), nextUpdate = at(30), issuer = rootKey, signedBy = issuer, keyId = issuer.keyId, entries = [] }: CrlGiven): Uint8Array {
  const list = new CrlEntries();
  for (const entry of entries) list.add({ ...entry, revokedAt: at(-2) });
  const signatureAlgorithm = signatureAlgorithmFor(signedBy.spkiDer);
  const tbs = buildCrlTbs({ signatureAlgorithm, issuerDer: issuer.subjectDer, thisUpdate, nextUpdate, number, authorityKeyIdentifier: keyId, entries: list });
  return assembleCrl(tbs, signatureAlgorithm, signedBy.sign(tbs));
}

const entry = (ca: SoftwareCa, reason: number) => ({ serial: new Uint8Array(Buffer.from(serialHex(ca), 'hex')), reason });

describe('importing a CRL', () => {
  let crls: MemoryCrls;
  const take = async (der: Uint8Array, principalId: number | undefined = 1) =>
    importCrl({ authorities: ledger, crls }, await ledger.byName(caName('root')), der, { ...options, principalId });
  beforeEach(async () => {
    crls = new MemoryCrls();
    await give('root', rootKey);
    await give('sub', subKey, { keyId: Uint8Array.of(1) });
  });

  it('publishes it once', async () => {
    const der = crlOf({ number: 5n });
    expect(await take(der)).toMatchObject({ changed: true, revoked: [] });
    expect(await take(der)).toMatchObject({ changed: false });
    expect(await take(crlOf({ number: 6n, thisUpdate: now }))).toMatchObject({ changed: true });
    expect(crls.adopted.map(({ number }) => number)).toEqual([5n, 6n]);
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['that is none', () => take(Uint8Array.of(0x30, 0)), /crl\.import-refused/],
    ['of another CA', () => take(crlOf({ issuer: certify({ subject: named('Other') }) })), /another issuer/],
    ['of a CA of the same name', () => take(crlOf({ keyId: new Uint8Array(20) })), /another key/],
    ['forged', () => take(crlOf({ signedBy: certify({ subject: named('Root') }) })), /does not verify/],
    ['from the future', () => take(crlOf({ thisUpdate: at(1) })), /lies in the future/],
    ['that has expired', () => take(crlOf({ thisUpdate: at(-9), nextUpdate: at(-1) })), /expired at/],
    ['with the number that is published', async () => {
      await take(crlOf({ number: 5n }));
      await take(crlOf({ number: 5n, thisUpdate: now }));
    }, /number 5 is not above/],
    ['that is older', async () => {
      await take(crlOf({ number: 5n, thisUpdate: now }));
      await take(crlOf({ number: 6n, thisUpdate: at(-1) }));
    }, /before that of number 5/],
    ['that lacks what is revoked (I12)', async () => {
      crls.rows = [{ serial: Uint8Array.of(7), revokedAt: at(-3), reason: 1, invalidityDate: undefined }];
      await take(crlOf({}));
    }, /lacks 07/],
    ['with a weaker reason than on record (I12)', async () => {
      crls.rows = [{ serial: Uint8Array.of(7), revokedAt: at(-3), reason: 1, invalidityDate: undefined }];
      await take(crlOf({ entries: [{ serial: Uint8Array.of(7), reason: 5 }] }));
    }, /weaker reason/],
    ['of a CA whose key is online', async () => {
      const sub = await ledger.byName(caName('sub'));
      await importCrl({ authorities: ledger, crls }, sub, crlOf({ issuer: subKey }), options);
    }, /is online/],
    ['that holds a CA', () => take(crlOf({ entries: [entry(subKey, 6)] })), /on hold/],
    ['that revokes a CA, and nobody answers for it', () => importRevoking(), /revokes the CA sub/],
  ])('%s is refused, and nothing is published', async (what, run, why) => {
    expect(await refusal(run)).toMatch(why);
    if (!/published|older/.test(what)) expect(crls.adopted).toHaveLength(0);
  });
  const importRevoking = async () =>
    importCrl({ authorities: ledger, crls }, await ledger.byName(caName('root')), crlOf({ entries: [entry(subKey, 5)] }), options);

  it('revokes the CA below that it lists', async () => {
    expect(await take(crlOf({ entries: [entry(subKey, 2), { serial: Uint8Array.of(9), reason: 0 }] }))).toMatchObject({ changed: true, revoked: ['sub'] });
    expect(await ledger.byName(caName('sub'))).toMatchObject({ state: 'compromised', revocation: { reason: 2, revokedAt: at(-2) } });
    expect((await take(crlOf({ number: 2n, thisUpdate: now, entries: [entry(subKey, 2)] }))).revoked).toEqual([]);
  });

  it('has what it lists on record as revoked: a cross-certificate, an OCSP signer; what is not on record stays unknown', async () => {
    const signer = certify({ subject: named('ocsp'), issuer: rootKey, extensions: responder });
    const foreign = certify({ subject: named('Elsewhere'), issuer: rootKey, extensions: caExtensions(0) });
    const root = await ledger.byName(caName('root'));
    await importCertificate(ledger, root, signer.certificate, options);
    await importForeignCross(ledger, root, foreign.certificate, options);
    const listed = [entry(signer, 1), entry(foreign, 4), { serial: Uint8Array.of(9), reason: 0 }];
    expect(await refusal(() => importCrl({ authorities: ledger, crls }, root, crlOf({ entries: listed }), options))).toMatch(/revokes the certificate .*nobody answers/);
    expect(await refusal(() => take(crlOf({ entries: [entry(foreign, 6)] })))).toMatch(/on hold/);
    expect(await take(crlOf({ entries: listed }))).toMatchObject({ changed: true, revoked: [] });
    expect(crls.rows.map(({ serial, reason }) => [Buffer.from(serial).toString('hex'), reason])).toEqual([[serialHex(signer), 1], [serialHex(foreign), 4]]);
    // The next one needs nobody to answer for what is on record, and may not leave it out.
    expect(await importCrl({ authorities: ledger, crls }, root, crlOf({ number: 2n, entries: listed }), options)).toMatchObject({ changed: true });
    expect(await refusal(() => take(crlOf({ number: 3n, entries: listed.slice(1) })))).toMatch(/lacks/);
  });

  it('keeps what it lists from coming on record afterwards: a CA, one more certificate, an OCSP signer', async () => {
    const late = certify({ subject: named('Late'), issuer: rootKey, extensions: caExtensions(0) });
    const foreign = certify({ subject: named('Elsewhere'), issuer: rootKey, extensions: caExtensions(0) });
    const signer = certify({ subject: named('ocsp'), issuer: rootKey, extensions: responder });
    await take(crlOf({ entries: [entry(late, 4), entry(foreign, 4), entry(signer, 4)] }));
    const root = await ledger.byName(caName('root'));
    const looking = { ...options, crls };
    for (const run of [
      () => importAuthority(ledger, { certificate: late.certificate, name: caName('late'), state: 'active' }, looking),
      () => importForeignCross(ledger, root, foreign.certificate, looking),
      () => importCertificate(ledger, root, signer.certificate, looking),
    ]) expect(await refusal(run)).toMatch(/certificate-refused.*CRL 1 of root lists it/);
    expect((await importAuthority(ledger, { certificate: subKey.certificate, name: caName('sub'), state: 'active' }, looking)).changed).toBe(false);
  });

  it('leaves a CA alone whose older certificate is listed as superseded, not one whose key is compromised', async () => {
    const key = p256();
    const first = certify({ subject: named('Two'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(100) });
    const second = certify({ subject: named('Two'), issuer: rootKey, key, extensions: caExtensions(0), notAfter: at(300) });
    await give('two', first);
    await give('two', second);
    expect((await take(crlOf({ entries: [entry(first, 4)] }))).revoked).toEqual([]);
    expect((await take(crlOf({ number: 2n, thisUpdate: now, entries: [entry(first, 1)] }))).revoked).toEqual(['two']);
  });
});

describe('a cross-certificate of a CA that the folder does not know', () => {
  const crossing = (key: CertificateFields['key']) =>
    certify({ subject: named('Elsewhere'), issuer: rootKey, ...(key === undefined ? {} : { key }), extensions: caExtensions(0), notAfter: at(100) });
  const folder = ({ certificate }: SoftwareCa) => ({
    authorities: [], requests: [], crls: [],
    certificates: [{ file: 'x.cer', kind: 'cross' as const, subject: undefined, issuer: caName('root'), certificate }],
  });

  it('is of that CA where it is on record, so that it is revoked with it', async () => {
    const key = p256();
    const elsewhere = certify({ subject: named('Elsewhere'), key });
    await give('root', rootKey);
    const { authority } = await give('elsewhere', elsewhere);
    await importCeremony(ledger, new MemoryCrls(), folder(crossing(key)), { ...options, state: 'active' });
    expect(ledger.recorded.at(-1)).toMatchObject({ kind: 'cross', subjectId: authority.id });
  });

  it('is of nobody where that CA is not', async () => {
    const { authority } = await give('root', rootKey);
    await importCeremony(ledger, new MemoryCrls(), folder(crossing(undefined)), { ...options, state: 'active' });
    expect(ledger.recorded.at(-1)).toMatchObject({ kind: 'cross', subjectId: undefined, issuerId: authority.id });
  });
});

describe('importing a folder of ceremonies', () => {
  it('takes all of it, newest first where it must, and nothing twice', async () => {
    const key = p256();
    const crls = new MemoryCrls();
    const old = certify({ subject: named('R'), key, notAfter: at(10) });
    const renewed = certify({ subject: named('R'), key, notAfter: at(900) });
    const sub = certify({ subject: named('S'), issuer: renewed, extensions: caExtensions(0), notAfter: at(800) });
    const next = certify({ subject: named('S2'), issuer: renewed, extensions: caExtensions(0), notAfter: at(800) });
    const signer = certify({ subject: named('ocsp'), issuer: renewed, extensions: responder, notAfter: at(90) });
    const gone = certify({ subject: named('ocsp'), issuer: renewed, extensions: responder, notAfter: at(-90) });
    const held = (name: string, ca: SoftwareCa, parent: string | undefined, more: object = {}) => ({
      name: caName(name), parent: parent === undefined ? undefined : caName(parent), certificate: ca.certificate, keyId: undefined,
      notBefore: now, notAfter: now, succeeds: undefined, signatureAlgorithm: undefined, labels: {}, ...more,
    });
    const certificate = (kind: 'ca' | 'ocsp-signer', ca: SoftwareCa) => ({
      file: `${kind}.cer`, kind, subject: kind === 'ca' ? caName('r') : undefined, issuer: caName('r'), certificate: ca.certificate,
    });
    const crl = (number: bigint) => ({ authority: caName('r'), number, thisUpdate: at(-1), nextUpdate: at(30), crl: crlOf({ number, issuer: renewed }) });
    const objects = {
      authorities: [held('r', old, undefined), held('s', sub, 'r', { keyId: Uint8Array.of(1) }), held('s-g2', next, 'r', { keyId: Uint8Array.of(2), succeeds: caName('s') })],
      certificates: [certificate('ca', renewed), certificate('ocsp-signer', signer), certificate('ocsp-signer', gone)],
      requests: [], crls: [crl(1n), crl(2n)],
    };
    const run = () => importCeremony(ledger, crls, objects, { ...options, state: 'active' });
    const cas = await run();
    expect(cas.map(({ name, state }) => `${name} ${state}`)).toEqual(['r active', 's active', 's-g2 prepared']);
    expect(cas[0]?.notAfter).toEqual(at(900));
    expect(cas[1]?.successorId).toBe(cas[2]?.id);
    expect(ledger.recorded.filter(({ kind }) => kind === 'ocsp-signer')).toHaveLength(1);
    expect(crls.adopted.map(({ number }) => number)).toEqual([2n]);
    const events = ledger.events.length;
    await run();
    expect([ledger.events.length, crls.adopted.length]).toEqual([events, 1]);
    const wrong = { ...objects, authorities: [held('t', certify({ subject: named('T'), issuer: renewed, extensions: caExtensions(0), notAfter: at(5) }), undefined)], certificates: [], crls: [] };
    expect(await refusal(() => importCeremony(ledger, crls, wrong, { ...options, state: 'active' }))).toMatch(/no CA above t/);
  });
});
