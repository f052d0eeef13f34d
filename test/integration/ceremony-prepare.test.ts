import { execFileSync } from 'node:child_process';
import { sign } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemRandom, toBase64, toHex } from '@fleetroot/core';
import {
  algorithmIdentifier, assembleCertificate, der, encodeExtension, encodeName, type Extension, extension, keyIdentifier, parseCertificate, parseCrl,
} from '@fleetroot/x509';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ceremonyRecords, parseAuthorityProfile, type PreparedCeremony, verifyCeremonies } from '@fleetroot/authority';
import { pkiError } from '../support/error-code.ts';
import { officer, p256, request, root, site, type Site, sub } from '../support/ceremony.ts';

const constrained = parseAuthorityProfile(JSON.stringify({
  name: 'constrained', kind: 'ca', selfSigned: false, keys: { types: ['p-256'] }, subject: [{ type: 'commonName', from: 'ceremony' }],
  validity: { years: 5 }, pathLength: 1, certificatePolicies: ['1.2.3.4'],
  nameConstraints: { permitted: [{ directory: [{ type: 'organizationName', value: 'Ours' }] }, { dns: 'example.com' }], excluded: [{ ip: '10.0.0.0/8' }] },
}), 'constrained.yaml', { statusUrl: 'http://status.example' });

let here: Site;

beforeEach(() => {
  here = site(new Map([['constrained', constrained]]));
});

afterEach(() => here.remove());

describe('a dry run', () => {
  const everything = {
    authorities: [root, sub], requests: [{ name: 'elsewhere', key: 'ed25519', subject: { commonName: 'Elsewhere' } }],
    crossCertificates: [], crls: [{ authority: 'root', days: 30, revoked: [{ serial: '4f01', revokedAt: '2026-11-01T00:00:00Z', reason: 'superseded' }] }],
    ocspSigners: [{ issuer: 'root', request: 'ocsp.csr', days: 30 }],
  };

  it('is the same each time, and signs nothing', async () => {
    here.files.set('ocsp.csr', await request());
    const first = await here.prepare(everything);
    here.now = new Date('2026-11-25T00:00:00Z');
    const second = await here.prepare(everything);
    expect(second.text).toBe(first.text);
    expect(second.sha256).toBe(first.sha256);
    expect(here.token.signed).toEqual([]);
    expect(here.held()).toEqual({ authorities: [], certificates: [], requests: [], crls: [] });
    expect(first.objects.map(({ kind, file }) => [kind, file])).toEqual([
      ['ca', 'root.cer'], ['ca', 'sub.cer'], ['request', 'elsewhere.csr'], ['crl', expect.stringMatching(/^root-\d+\.crl$/)], ['ocsp-signer', 'root.ocsp-signer.cer'],
    ]);
  });

  it('is what is signed then, and nothing else', async () => {
    here.files.set('ocsp.csr', await request());
    const { objects, text } = await here.prepare(everything);
    await here.hold(everything);
    const transcript = here.token.signed.pop();
    expect(Buffer.from(transcript ?? []).toString()).toContain('"dryRunSha256"');
    expect(here.token.signed.map(toHex)).toEqual(objects.map(({ tbs }) => toHex(tbs)));
    for (const { tbsSha256, file } of objects) for (const part of [tbsSha256, file]) expect(text).toContain(part);
  });

  it('tells of each object what a reader must see', async () => {
    here.files.set('ocsp.csr', await request());
    const { text } = await here.prepare({
      ocspSigners: [{ issuer: 'root', request: 'ocsp.csr', days: 30 }],
      authorities: [root, { name: 'c', parent: 'root', key: 'p-256', profile: 'constrained', subject: { commonName: 'C' }, labels: { brand: 'B' }, signatureAlgorithm: 'ecdsa-sha384' }],
      crls: [{ authority: 'root', days: 30, revoked: [{ serial: '4f01', revokedAt: '2026-11-01T00:00:00Z', reason: 'keyCompromise', invalidityDate: '2026-10-01T00:00:00Z' }] }],
    });
    for (const line of [
      /ceremony +A test\n/, /plan +SHA-256 [0-9a-f]{64}\n/, /token +software, serial software-1\n/, /approvals +none are asked for\n/,
      /subject +CN=C\n/, /issuer +CN=Root\n/, /not before +2026-11-22T10:00:00Z\n/, /not after +2031-11-22T09:59:59Z\n/, /basicConstraints \(critical\) +CA TRUE, path length 1\n/,
      /keyUsage \(critical\) +keyCertSign, cRLSign\n/, /nameConstraints \(critical\) +permitted directory O=Ours, dns example\.com; excluded ip 10\.0\.0\.0\/255\.0\.0\.0\n/,
      /certificatePolicies +1\.2\.3\.4\n/, /crlDistributionPoints +http:\/\/status\.example\/crl\/root\.crl\n/, /authorityInformationAccess +caIssuers http:\/\/status\.example\/ca\/root\.cer\n/,
      /reads +ocsp\.csr, SHA-256 [0-9a-f]{64}\n/, /extendedKeyUsage +OCSPSigning\n/, /ocspNoCheck +present\n/, /label brand +B\n/, /signs with +ecdsa-sha384\n/, /next update +2026-12-22T10:00:00Z\n/, / 2026-11-01T00:00:00Z +4f01 keyCompromise, invalid since 2026-10-01T00:00:00Z\n/,
      /not on record +4f01: no certificate/,
    ]) expect(text).toMatch(line);
  });

  it('lets nothing of a token break out of its line', async () => {
    const { text } = await here.prepare({ authorities: [root] }, { token: { ...here.token, facts: { label: 'a\napprovals  b\u202e', serial: '1' } } });
    expect(text).toContain('token                    a\\u{a}approvals \\u{20}b\\u{202e}, serial 1\n');
  });

  it('is not held by somebody whose name is no line', async () => {
    for (const by of ['', 'erin\nheld by bob', ' erin']) {
      await expect(here.hold({ authorities: [root] }, { by })).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringContaining('--by') });
    }
    expect(here.token.signed).toEqual([]);
  });

  const alice = officer('alice');
  const plan = { authorities: [root, sub], approvals: 1, officers: [alice.entry, officer('bob').entry] };
  it.each<[string, (first: PreparedCeremony) => Promise<PreparedCeremony>]>([
    ['the title', () => here.prepare({ ...plan, ceremony: 'Another' })],
    ['the plan, even where it means the same', () => here.prepare({ ...plan, crls: [] })],
    ['the token', () => here.prepare(plan, { token: { ...here.token, facts: { label: 'software', serial: 'software-2' } } })],
    ['a key of an officer', () => here.prepare({ ...plan, officers: [alice.entry, officer('bob').entry] })],
    ['the number of approvals', () => here.prepare({ ...plan, approvals: 2 })],
    ['a subject', () => here.prepare({ ...plan, authorities: [root, { ...sub, subject: { commonName: 'Other' } }] })],
    ['a validity', () => here.prepare({ ...plan, authorities: [root, { ...sub, years: 9 }] })],
    ['a label', () => here.prepare({ ...plan, authorities: [root, { ...sub, labels: { brand: 'X' } }] })],
    ['the URLs in certificates', () => here.prepare(plan, { statusUrl: 'http://other.example' })],
    ['one object more', () => here.prepare({ ...plan, crls: [{ authority: 'root', days: 30 }] })],
    ['one object less', () => here.prepare({ ...plan, authorities: [root] })],
  ])('has another hash where %s changes, and the approvals count no more', async (_, again) => {
    const first = await here.prepare(plan);
    const approval = alice.approve(first);
    const changed = await again(first);
    expect(changed.sha256).not.toBe(first.sha256);
    expect(approval.sha256).not.toBe(changed.sha256);
  });
});

describe('approvals', () => {
  const [alice, bob, carol] = [officer('alice'), officer('bob'), officer('carol')];
  const plan = { authorities: [root], approvals: 2, officers: [alice.entry, bob.entry, carol.entry] };

  it('are required before anything is signed', async () => {
    await expect(here.hold(plan)).rejects.toMatchObject({ code: 'ceremony.not-approved', message: expect.stringContaining('0 of 2 approvals') });
    await expect(here.hold(plan, { approvals: (prepared) => Promise.resolve([alice.approve(prepared)]) })).rejects.toMatchObject({ code: 'ceremony.not-approved' });
    expect(here.token.signed).toEqual([]);
    expect(existsSync(join(here.folder, 'root.cer'))).toBe(false);
    const held = await here.hold(plan, { approvals: (prepared) => Promise.resolve([alice.approve(prepared), carol.approve(prepared)]) });
    expect(held.authorities.map(({ name }) => name)).toEqual(['root']);
    const transcript = readFileSync(join(here.folder, 'transcripts/0001.json'), 'utf8');
    expect(JSON.parse(transcript)).toMatchObject({ transcript: { approvals: [{ officer: 'alice' }, { officer: 'carol' }] } });
  });

  it('of the holder, or of the plan before it was changed, do not count', async () => {
    const first = await here.prepare(plan);
    const given = [alice.approve(first), bob.approve(first)];
    const approvals = () => Promise.resolve(given);
    await expect(here.hold(plan, { by: 'bob', approvals })).rejects.toMatchObject({ code: 'ceremony.not-approved' });
    await expect(here.hold({ ...plan, authorities: [{ ...root, years: 21 }] }, { approvals })).rejects.toMatchObject({ code: 'ceremony.not-approved' });
    expect(here.token.signed).toEqual([]);
    // The plan as it was approved draws anew as well: what it would sign is not what was approved.
    await expect(here.hold(plan, { approvals })).rejects.toMatchObject({ code: 'ceremony.not-approved' });
  });

  it('that come when a CRL would be over do not count', async () => {
    await here.hold({ ceremony: 'Root', authorities: [root] });
    const late = { ...plan, ceremony: 'Late', authorities: [], crls: [{ authority: 'root', days: 7 }] };
    const approvals = (prepared: PreparedCeremony) => {
      here.now = new Date(here.now.getTime() + 8 * 86_400_000);
      return Promise.resolve([alice.approve(prepared), bob.approve(prepared)]);
    };
    await expect(here.hold(late, { approvals })).rejects.toMatchObject({ code: 'ceremony.not-approved', message: expect.stringContaining('has approved another dry run') });
    expect(here.held().crls).toEqual([]);
  });

  it('are not asked for again where all is on record, and no transcript is added', async () => {
    const approvals = (prepared: PreparedCeremony) => Promise.resolve([alice.approve(prepared), bob.approve(prepared)]);
    await here.hold(plan, { approvals });
    const signatures = here.token.signed.length;
    await here.hold(plan);
    expect(here.token.signed).toHaveLength(signatures);
    expect(readdirSync(join(here.folder, 'transcripts'))).toEqual(['0001.json']);
    expect(existsSync(join(here.folder, 'intents.json'))).toBe(false);
  });

  it('of one ceremony outlive another that is held meanwhile', async () => {
    await here.hold({ ceremony: 'Root', authorities: [root] });
    const waiting = { ...plan, ceremony: 'Waiting', authorities: [sub] };
    const first = await here.prepare(waiting);
    here.now = new Date('2026-11-23T10:00:00Z');
    await here.hold({ ceremony: 'CRL', crls: [{ authority: 'root', days: 30 }] });
    expect((await here.prepare(waiting)).sha256).toBe(first.sha256);
    await here.hold(waiting, { approvals: () => Promise.resolve([alice.approve(first), bob.approve(first)]) });
    expect(here.held().authorities.map(({ name }) => name)).toEqual(['root', 'sub']);
  });
});

describe('beside what is on record', () => {
  beforeEach(() => here.hold({ ceremony: 'Roots', authorities: [root, sub, { ...sub, name: 'leafy', pathLength: 0, subject: { commonName: 'Leafy' } }] }));

  const below = { name: 'below', parent: 'sub', key: 'p-256', subject: { commonName: 'Below' }, years: 5, pathLength: 0 };
  const outside = { ...below, parent: 'c', subject: { organizationName: 'Theirs', commonName: 'Below' } };
  const c = { name: 'c', parent: 'root', key: 'p-256', profile: 'constrained', subject: { commonName: 'C' } };
  it.each<[string, object, RegExp]>([
    ['a parent that does not exist', { authorities: [{ ...below, parent: 'none' }] }, /^\/plans\/plan\.yaml:1: authorities\.0\.parent: none is neither a CA in this file nor one on record/],
    ['a path longer than the parent allows', { authorities: [{ ...below, pathLength: 1 }] }, /authorities\.0\.pathLength: is more than the 0 that sub/],
    ['a CA below one that allows none', { authorities: [{ ...below, parent: 'leafy' }] }, /authorities\.0\.parent: the CA leafy and those above it allow no CA below/],
    ['a name outside the constraints above', { authorities: [c, outside] }, /authorities\.1: a name in it is outside the name constraints/],
    ['the name of another CA', { authorities: [{ ...below, subject: { commonName: 'Leafy' } }] }, /authorities\.0\.subject: is the name of the CA leafy as well/],
    ['the successor of nobody', { authorities: [{ ...below, succeeds: 'none' }] }, /authorities\.0\.succeeds: none is neither/],
    ['a CA that exists, made from another plan', { authorities: [{ ...sub, years: 9 }] }, /the CA sub exists, made from another plan.*a name of its own/],
    ['a request by the name of a CA', { requests: [{ name: 'sub', key: 'p-256', subject: { commonName: 'S' } }] }, /requests\.0\.name: is the name of a CA that exists/],
    ['a renewal of nobody', { renewals: [{ authority: 'none', years: 5 }] }, /renewals\.0\.authority: none is neither/],
    ['a renewal that ends no later', { renewals: [{ authority: 'sub', years: 3 }] }, /renewals\.0\.years: would end the new certificate at 2029-/],
    ['a cross-certificate by a CA that allows none below', { crossCertificates: [{ subject: 'sub', issuer: 'leafy', years: 1 }] }, /crossCertificates\.0\.issuer: .*allow no CA below/],
    ['a cross-certificate with a longer path than the CA itself has', { crossCertificates: [{ subject: 'leafy', issuer: 'root', years: 1, pathLength: 1 }] }, /crossCertificates\.0\.pathLength: is more than the 0 of its own certificate/],
    ['a cross-certificate with too long a path', { crossCertificates: [{ subject: 'sub', issuer: 'root', years: 1, pathLength: 2 }] }, /crossCertificates\.0\.pathLength: is more than the 1/],
    ['a revocation in the future', { crls: [{ authority: 'root', days: 1, revoked: [{ serial: '01', revokedAt: '2027-01-01T00:00:00Z', reason: 'superseded' }] }] }, /revoked\.0\.revokedAt: is in the future/],
  ])('%s is refused with its place', async (_, fields, what) => {
    const signed = here.token.signed.length;
    await expect(here.hold({ ceremony: 'Next', ...fields })).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(what) });
    expect(here.token.signed).toHaveLength(signed);
  });

  it('name constraints hold for the names they are about, and not for the CA that has them', async () => {
    const inside = { ...below, parent: 'c', subject: { organizationName: 'Ours', commonName: 'Below' } };
    expect((await here.hold({ ceremony: 'Next', authorities: [c, inside] })).authorities.map(({ name }) => name)).toContain('below');
  });

  it('a CA whose key is in another token signs nothing', async () => {
    const elsewhere = site();
    await expect(here.hold({ ceremony: 'Next', authorities: [below] }, { token: elsewhere.token })).rejects.toMatchObject({ code: 'hsm.key-not-found', message: expect.stringContaining('that of the CA sub') });
    elsewhere.remove();
  });

  it('a clock that went back stops a ceremony', async () => {
    await here.prepare({ ceremony: 'Next', authorities: [below] });
    here.now = new Date('2026-11-21T10:00:00Z');
    await expect(here.prepare({ ceremony: 'Next', authorities: [below] })).rejects.toMatchObject({ code: 'clock.skew' });
  });

  it('a renewed CA keeps its key, name and extensions, and those below may live longer then', async () => {
    here.now = new Date('2031-01-01T00:00:00Z');
    const { certificates, authorities } = await here.hold({ ceremony: 'Renewal', renewals: [{ authority: 'root', years: 30 }, { authority: 'sub', years: 20 }] });
    expect(certificates.map(({ file, kind, subject, issuer }) => [file, kind, subject, issuer])).toEqual([['root.2.cer', 'ca', 'root', 'root'], ['sub.2.cer', 'ca', 'sub', 'root']]);
    const [old, renewed] = [authorities.find(({ name }) => name === 'sub'), certificates[1]].map((each) => parseCertificate(each?.certificate ?? new Uint8Array()));
    expect(renewed).toMatchObject({ subjectDer: old?.subjectDer, spkiDer: old?.spkiDer, extensions: old?.extensions, notAfter: new Date('2050-12-31T23:59:59Z') });
    const { authorities: after } = await here.hold({ ceremony: 'Below', authorities: [{ ...below, years: 15 }] });
    expect(after.at(-1)?.notAfter).toEqual(new Date('2045-12-31T23:59:59Z'));
    await here.hold({ ceremony: 'Renewal', renewals: [{ authority: 'root', years: 30 }, { authority: 'sub', years: 20 }] });
    expect(here.held().certificates).toHaveLength(2);
  });

  it('the same CA is cross-certified again under another title, beside the first', async () => {
    const other = { ...root, name: 'other', subject: { commonName: 'Other root' } };
    const cross = { crossCertificates: [{ subject: 'other', issuer: 'root', years: 5 }] };
    await here.hold({ ceremony: 'One', authorities: [other], ...cross });
    await here.hold({ ceremony: 'Two', ...cross });
    expect(here.held().certificates.map(({ file }) => file)).toEqual(['other-by-root.cer', 'other-by-root.2.cer']);
    expect(parseCertificate(here.held().certificates[0]?.certificate ?? new Uint8Array())).toMatchObject({ pathLength: 1 });
    await expect(here.hold({ ceremony: 'Three', authorities: [{ ...other, name: 'other-by-root', subject: { commonName: 'X' } }] }))
      .rejects.toMatchObject({ message: expect.stringContaining('is the name of another file') });
  });

  it('a next generation may bear the name of the one before, and a third that of both', async () => {
    const g2 = { ...root, name: 'root-g2', succeeds: 'root' };
    const g3 = { ...root, name: 'root-g3', succeeds: 'root-g2' };
    await expect(here.hold({ ceremony: 'G', authorities: [{ ...g2, succeeds: undefined }] })).rejects.toMatchObject({ code: 'ceremony.invalid' });
    await here.hold({ ceremony: 'G2', authorities: [g2] });
    const { authorities } = await here.hold({ ceremony: 'G3', authorities: [g3], crossCertificates: [{ subject: 'root-g3', issuer: 'root-g2', years: 5 }] });
    expect(authorities.slice(-2).map(({ name, succeeds }) => [name, succeeds])).toEqual([['root-g2', 'root'], ['root-g3', 'root-g2']]);
    // Self-issued: it takes nothing from the path's length (RFC 5280 section 4.2.1.9).
    expect(parseCertificate(here.held().certificates[0]?.certificate ?? new Uint8Array())).toMatchObject({ pathLength: 2 });
    const g4 = { ...root, name: 'root-g4', parent: 'root', succeeds: 'root-g3', pathLength: 2 };
    await here.hold({ ceremony: 'G4', authorities: [g4] });
    const under = { ...below, parent: 'root-g4' };
    await expect(here.hold({ ceremony: 'Under', authorities: [{ ...under, pathLength: 2 }] })).rejects.toMatchObject({ message: expect.stringContaining('is more than the 1 that root-g4') });
    await here.hold({ ceremony: 'Under', authorities: [{ ...under, pathLength: 1 }] });
  });
});

describe('a run that was cut off', () => {
  /** Signs all, and dies before it is on record. */
  const cutOff = async (fields: object): Promise<void> => {
    const blocked = join(here.folder, 'transcripts');
    renameSync(blocked, `${blocked}.aside`);
    writeFileSync(blocked, '');
    await expect(here.hold(fields)).rejects.toThrow(/ENOTDIR|EEXIST/);
    rmSync(blocked);
    renameSync(`${blocked}.aside`, blocked);
  };

  it('loses nothing that it has signed to another ceremony', async () => {
    await here.hold({ ceremony: 'Roots', authorities: [root] });
    const first = { ceremony: 'First', renewals: [{ authority: 'root', years: 30 }] };
    await cutOff(first);
    const signed = readFileSync(join(here.folder, 'root.2.cer'));
    await expect(here.hold({ ceremony: 'Second', renewals: [{ authority: 'root', years: 40 }] }))
      .rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(/root\.2\.cer .* a ceremony that is not finished/) });
    expect(readFileSync(join(here.folder, 'root.2.cer')).equals(signed)).toBe(true);
    const { certificates } = await here.hold(first);
    expect(certificates.map(({ certificate }) => toHex(certificate))).toEqual([toHex(signed)]);
  });
});

describe('a folder that somebody else made', () => {
  const change = (what: (record: { authorities: Record<string, unknown>[] }) => void): void => {
    const path = join(here.folder, 'ceremony.json');
    const record = JSON.parse(readFileSync(path, 'utf8')) as { authorities: Record<string, unknown>[] };
    what(record);
    writeFileSync(path, JSON.stringify(record));
  };

  it.each<[string, Record<string, unknown>]>([
    ['a file outside of it', { name: '../root' }], ['an algorithm that is none', { signatureAlgorithm: 'constructor' }],
    ['a label that is none', { labels: { 'B R A N D': 'x' } }], ['a label that breaks its line', { labels: { brand: 'x\ny' } }],
  ])('is damaged where it names %s', async (_, fields) => {
    await here.hold({ authorities: [root] });
    writeFileSync(join(here.folder, '../root.cer'), readFileSync(join(here.folder, 'root.cer')));
    change(({ authorities: [first] }) => Object.assign(first ?? {}, fields));
    expect(pkiError(() => here.held())).toMatchObject({ code: 'ceremony.invalid', message: expect.stringContaining('is damaged') });
  });

  it.each<[string, (path: string) => void]>([
    ['a folder', (path) => mkdirSync(path)], ['a pipe, where a reader would wait for ever', (path) => execFileSync('mkfifo', [path])],
    ['a device that never ends', (path) => symlinkSync('/dev/zero', path)],
  ])('is damaged where a file is %s', async (_, make) => {
    await here.hold({ authorities: [root] });
    const path = join(here.folder, 'transcripts/0001.json');
    rmSync(path);
    make(path);
    expect(pkiError(() => ceremonyRecords(here.folder))).toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(/0001\.json is not a file/) });
  });

  it('has a transcript after the ten thousandth', async () => {
    await here.hold({ authorities: [root] });
    renameSync(join(here.folder, 'transcripts/0001.json'), join(here.folder, 'transcripts/10000.json'));
    await here.hold({ ceremony: 'Next', renewals: [{ authority: 'root', years: 30 }] });
    expect(verifyCeremonies(ceremonyRecords(here.folder)).transcripts.map(({ file }) => file)).toEqual(['transcripts/10000.json', 'transcripts/10001.json']);
  });

  it('has its files written anew, and never through a link', async () => {
    await here.hold({ authorities: [root] });
    const mine = join(here.folder, '../mine');
    writeFileSync(mine, 'mine');
    symlinkSync(mine, join(here.folder, 'intents.json.new'));
    await here.prepare({ ceremony: 'Next', authorities: [{ ...root, name: 'next', subject: { commonName: 'Next' } }] });
    expect(readFileSync(mine, 'utf8')).toBe('mine');
  });
});

describe('the ceremony key', () => {
  const labels = async () => (await here.token.listKeys()).map(({ label }) => label);

  it('is made once, and found by its label where a run died before it was on record', async () => {
    const broken: typeof here.token = { ...here.token, sign: () => Promise.reject(new Error('crash')) };
    await expect(here.hold({ authorities: [root] }, { token: broken })).rejects.toThrow('crash');
    await here.hold({ authorities: [root] });
    await here.hold({ ceremony: 'Next', authorities: [sub] });
    expect(await labels()).toEqual(['fleetroot-ceremony', 'root', 'sub']);
    const { ceremonyKeys } = JSON.parse(readFileSync(join(here.folder, 'ceremony.json'), 'utf8')) as { ceremonyKeys: { keyId: string; spki: string }[] };
    const [key] = await here.token.listKeys();
    expect(ceremonyKeys).toEqual([{ keyId: toHex(key?.keyId ?? new Uint8Array()), spki: toBase64(key?.spkiDer ?? new Uint8Array()) }]);
  });

  it('on record stays the one where another has its label, and none is chosen among several', async () => {
    const another = () => here.token.generateKeyPair({ algorithm: 'p-256', label: 'fleetroot-ceremony', keyId: systemRandom(20) });
    await here.hold({ authorities: [root] });
    await another();
    await here.hold({ ceremony: 'Next', authorities: [sub] });
    expect(verifyCeremonies(ceremonyRecords(here.folder)).ceremonyKeys).toHaveLength(1);
    const elsewhere = site();
    await expect(elsewhere.hold({ authorities: [root] }, { token: here.token })).rejects.toMatchObject({ code: 'hsm.key-mismatch' });
    elsewhere.remove();
  });
});

describe('what was made elsewhere', () => {
  let elsewhere: Site;

  beforeEach(async () => {
    elsewhere = site();
    await elsewhere.hold({ authorities: [root, sub, { ...root, name: 'other', subject: { commonName: 'Other' } }], crossCertificates: [{ subject: 'sub', issuer: 'other', years: 20 }] });
    for (const { name, certificate } of elsewhere.held().authorities) here.files.set(`${name}.cer`, certificate);
    for (const { file, certificate } of elsewhere.held().certificates) here.files.set(file, certificate);
  });

  afterEach(() => elsewhere.remove());

  const taken = (name: string, parent?: string, certificate = `${name}.cer`) => ({ name, certificate, ...(parent === undefined ? {} : { parent }) });
  it.each<[string, object, RegExp]>([
    ['a certificate of another parent', { authorities: [taken('other'), taken('sub', 'other')] }, /authorities\.1\.certificate: is not signed by other/],
    ['a CA below as a root', { authorities: [taken('sub')] }, /authorities\.0\.certificate: is not signed by its own key/],
    ['a key twice', { authorities: [taken('root'), taken('again', undefined, 'root.cer')] }, /authorities\.1\.certificate: has the key of the CA root/],
    ['a file that was changed', { crossCertificates: [{ certificate: 'changed.cer', issuer: 'mine', years: 1 }] }, /crossCertificates\.0\.certificate: is not signed by its own key: it was changed/],
    ['a CRL of a key that is not here', { authorities: [taken('root')], crls: [{ authority: 'root', days: 1 }] }, /crls\.0\.authority: the key of the CA root is not here/],
  ])('is refused: %s', async (_, fields, what) => {
    await here.hold({ ceremony: 'Mine', authorities: [{ ...root, name: 'mine', subject: { commonName: 'Mine' } }] });
    const changed = Uint8Array.from(here.files.get('root.cer') ?? []);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    here.files.set('changed.cer', changed);
    await expect(here.hold({ ceremony: 'Next', ...fields })).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(what) });
  });

  /** The root of somebody else, with one extension more. */
  function foreign(more: Extension): Uint8Array {
    const pair = p256();
    const spkiDer = new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' }));
    const name = encodeName([{ type: 'commonName', value: 'Theirs' }]);
    const extensions = [extension.basicConstraints({ ca: true }), extension.keyUsage(['keyCertSign', 'cRLSign']), extension.subjectKeyIdentifier(keyIdentifier(spkiDer)), more];
    const tbs = der.sequence(
      der.explicit(0, der.integer(2)), der.integer(Uint8Array.of(0x41)), algorithmIdentifier('ecdsa-sha256'), name,
      der.sequence(der.time(new Date('2026-11-01T00:00:00Z')), der.time(new Date('2030-11-01T00:00:00Z'))), name, spkiDer,
      der.explicit(3, der.sequence(...extensions.map(encodeExtension))),
    );
    return assembleCertificate(tbs, 'ecdsa-sha256', new Uint8Array(sign('sha256', tbs, pair.privateKey)));
  }
  const mine = { ceremony: 'Mine', authorities: [{ ...root, name: 'mine', subject: { commonName: 'Mine' } }], crossCertificates: [{ certificate: 'theirs.cer', issuer: 'mine', years: 1 }] };

  it.each([
    ['policyConstraints', { oid: '2.5.29.36', critical: true, value: Uint8Array.of(0x30, 3, 0x80, 1, 0) }],
    ['inhibitAnyPolicy', { oid: '2.5.29.54', critical: true, value: Uint8Array.of(2, 1, 0) }],
  ])('is cross-certified with all that limits it: %s', async (_, more) => {
    here.files.set('theirs.cer', foreign(more));
    const { certificates: [cross] } = await here.hold(mine);
    expect(parseCertificate(cross?.certificate ?? new Uint8Array()).extensions).toContainEqual(more);
  });

  it('is not cross-certified where what limits it is not understood', async () => {
    here.files.set('theirs.cer', foreign({ oid: '1.2.3.4.5', critical: true, value: Uint8Array.of(5, 0) }));
    await expect(here.hold(mine)).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(/critical extension 1\.2\.3\.4\.5/) });
    expect(here.token.signed).toEqual([]);
  });

  it('is refused once it is over', async () => {
    here.now = new Date('2047-01-01T00:00:00Z');
    await expect(here.hold({ authorities: [taken('root')] })).rejects.toMatchObject({ message: expect.stringContaining('cannot be used below the CAs above it: expired') });
  });

  it('comes on record as it is, with the hash of what came in', async () => {
    const { authorities } = await here.hold({ authorities: [taken('root'), taken('sub', 'root')] });
    expect(authorities.map(({ name, keyId, certificate }) => [name, keyId, toHex(certificate)])).toEqual(
      elsewhere.held().authorities.slice(0, 2).map(({ name, certificate }) => [name, undefined, toHex(certificate)]),
    );
    expect(here.token.signed).toHaveLength(1);
    const [told] = verifyCeremonies(ceremonyRecords(here.folder)).transcripts;
    expect(told?.facts.in.map(({ file }) => file)).toEqual(['root.cer', 'sub.cer']);
  });

  it('an OCSP signer has a key of its own, by its own request', async () => {
    const pair = p256();
    here.files.set('ocsp.csr', await request(pair));
    await here.hold({ authorities: [root, { ...sub, key: undefined, request: 'ocsp.csr' }] });
    await expect(here.hold({ ceremony: 'OCSP', ocspSigners: [{ issuer: 'root', request: 'ocsp.csr', days: 7 }] }))
      .rejects.toMatchObject({ message: expect.stringContaining('has the key of the CA sub') });
  });
});

describe('CRLs of an offline CA', () => {
  const first = { serial: '4f01', revokedAt: '2026-11-01T00:00:00Z', reason: 'superseded' };
  const held = { serial: '4f02', revokedAt: '2026-11-02T00:00:00Z', reason: 'certificateHold' };
  const crl = (title: string, revoked: object[]) => ({ ceremony: title, crls: [{ authority: 'root', days: 30, revoked }] });

  beforeEach(async () => {
    await here.hold({ ceremony: 'Root', authorities: [root] });
    await here.hold(crl('One', [first, held]));
    here.now = new Date('2026-11-23T10:00:00Z');
  });

  it('count up, by the clock where it is ahead', async () => {
    await here.hold(crl('Two', [first, held]));
    const [one, two] = here.held().crls;
    expect(one?.number).toBe(BigInt(Date.parse('2026-11-22T10:00:00Z')));
    expect(two?.number).toBe(BigInt(Date.parse('2026-11-23T10:00:00Z')));
    expect(parseCrl(two?.crl ?? new Uint8Array())).toMatchObject({ number: two?.number, thisUpdate: two?.thisUpdate, nextUpdate: new Date('2026-12-23T10:00:00Z') });
    await here.hold(crl('Three', [first, held]));
    expect(here.held().crls[2]?.number).toBe((two?.number ?? 0n) + 1n);
  });

  it.each<[string, object[], RegExp | undefined]>([
    ['the same', [first, held], undefined],
    ['one more', [first, held, { ...first, serial: '4f03' }], undefined],
    ['a hold that was released', [first], undefined],
    ['a hold that became final', [first, { ...held, reason: 'keyCompromise' }], undefined],
    ['a stronger reason', [{ ...first, reason: 'keyCompromise' }, held], undefined],
    ['one that is gone', [held], /lacks the serial 4f01, which the CRL before/],
    ['a weaker reason', [{ ...first, reason: 'unspecified' }, held], /was revoked for superseded, which unspecified would weaken/],
    ['a hold of what was revoked', [{ ...first, reason: 'certificateHold' }, held], /would weaken/],
    ['another date', [{ ...first, revokedAt: '2026-11-03T00:00:00Z' }, held], /was revoked at 2026-11-01T00:00:00\.000Z/],
  ])('after one that lists a revocation and a hold: %s', async (_, revoked, refusal) => {
    const next = here.hold(crl('Two', revoked));
    if (refusal === undefined) expect((await next).crls).toHaveLength(2);
    else await expect(next).rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringMatching(refusal) });
  });

  it('keep a certificate on record until it was on one CRL after its end', async () => {
    await here.hold({ ceremony: 'Sub', authorities: [{ ...sub, years: 1 }] });
    const serial = toHex(parseCertificate(here.held().authorities[1]?.certificate ?? new Uint8Array()).serial);
    const gone = { serial, revokedAt: '2026-11-23T00:00:00Z', reason: 'cessationOfOperation' };
    await here.hold(crl('Two', [first, gone]));
    here.now = new Date('2028-01-01T00:00:00Z');
    await expect(here.hold(crl('Three', [first]))).rejects.toMatchObject({ message: expect.stringContaining(`lacks the serial ${serial}`) });
    await here.hold(crl('Three', [first, gone]));
    here.now = new Date('2028-02-01T00:00:00Z');
    expect((await here.hold(crl('Four', [first]))).crls).toHaveLength(4);
  });

  it('are drawn anew, with a greater number, where another came first or too much time went by', async () => {
    const waiting = await here.prepare(crl('Waiting', [first, held]));
    here.now = new Date('2026-11-24T10:00:00Z');
    await here.hold(crl('Two', [first, held]));
    const again = await here.prepare(crl('Waiting', [first, held]));
    expect(again.sha256).not.toBe(waiting.sha256);
    expect(again.objects[0]?.file).toBe(`root-${Date.parse('2026-11-24T10:00:00Z') + 1}.crl`);
    here.now = new Date('2027-02-01T00:00:00Z');
    expect((await here.prepare(crl('Waiting', [first, held]))).objects[0]?.file).toBe(`root-${here.now.getTime()}.crl`);
  });

  it('of a clock that went back are not made', async () => {
    here.now = new Date('2026-11-20T10:00:00Z');
    await expect(here.prepare(crl('Two', [first, held]))).rejects.toMatchObject({ code: 'clock.skew' });
  });
});
