import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { canonicalJson } from '@fleetroot/audit';
import { toHex } from '@fleetroot/core';
import { assembleCertificate, assembleCrl, buildCrlTbs, buildRequest, digestOf, encodePem, parseCertificate, parseRequest, type SignatureAlgorithm, spkiSha256 } from '@fleetroot/x509';
import { describe, expect, it } from 'vitest';
import { pkiError } from '../../../test/support/error-code.ts';
import { certify, named, p256, type SoftwareCa } from '../../../test/support/software-ca.ts';
import {
  type Approval, approvalStatement, type CeremonyRecords, publicKeyPem, signTranscript, type SignedTranscript, type TranscriptFacts,
  verifyCeremonies, verifyTranscript,
} from '../src/index.ts';

const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');

/** A key in memory that signs transcripts or approvals. */
function key(type: 'p-256' | 'p-384' | 'ed25519' = 'p-256') {
  const { publicKey, privateKey } = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: type.toUpperCase() });
  const spkiDer = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  const signWith = (algorithm: SignatureAlgorithm, message: Uint8Array) => Promise.resolve(new Uint8Array(sign(digestOf(algorithm) ?? null, message, privateKey)));
  return { spkiDer, privateKey, sign: signWith };
}

const ceremonyKey = key('p-384');
const alice = key();
const title = 'Roots of Example Motors';

function approval(officer: string, sha: string, by = alice): Approval {
  const statement = approvalStatement({ title, officer, sha256: sha });
  return { officer, sha256: sha, at: '2026-11-22T12:00:00.000Z', signature: sign('sha256', statement, by.privateKey).toString('base64') };
}

type Made = Pick<TranscriptFacts['out'][number], 'file' | 'kind' | 'name' | 'serial' | 'tbsSha256'> & { readonly content: Uint8Array };

function facts(made: readonly Made[], over: Partial<TranscriptFacts> = {}): TranscriptFacts {
  const dryRun = `What is signed:\n${made.map(({ file, tbsSha256 }) => `${file} ${tbsSha256}\n`).join('')}`;
  return {
    title, by: 'erin', began: '2026-11-22T12:00:00.000Z', ended: '2026-11-22T12:05:00.000Z', planSha256: sha256('plan'),
    dryRun, dryRunSha256: sha256(dryRun), token: { label: 'root', serial: '0123456789abcdef' },
    ceremonyKey: { keyId: '01', spkiSha256: toHex(spkiSha256(ceremonyKey.spkiDer)), publicKey: publicKeyPem(ceremonyKey.spkiDer) },
    approvalsRequired: 1, officers: [{ name: 'alice', publicKey: publicKeyPem(alice.spkiDer) }], approvals: [approval('alice', sha256(dryRun))],
    previous: null, in: [],
    out: made.map(({ content, ...out }) => ({ ...out, sha256: sha256(content), keyId: '02' })), ...over,
  };
}

const root = certify({ subject: named('Root') });
const issuing = certify({ subject: named('Issuing'), issuer: root });

function certificate(name: string, { certificate: content }: SoftwareCa): Made {
  const { serial, tbsDer } = parseCertificate(content);
  return { file: `${name}.cer`, kind: 'ca', name, serial: toHex(serial), tbsSha256: sha256(tbsDer), content };
}

function crl(ca: SoftwareCa, by = ca): Made {
  const { subjectDer: issuerDer, keyId: authorityKeyIdentifier } = ca;
  const tbs = buildCrlTbs({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer, thisUpdate: new Date('2026-11-22T12:00:00Z'), nextUpdate: new Date('2027-11-22T12:00:00Z'),
    number: 1n, authorityKeyIdentifier, entries: [],
  });
  return { file: 'root-1.crl', kind: 'crl', name: 'root', serial: null, tbsSha256: sha256(tbs), content: assembleCrl(tbs, 'ecdsa-sha256', by.sign(tbs)) };
}

async function request(): Promise<Made> {
  const { privateKey, publicKey } = p256();
  const content = await buildRequest({
    subject: named('Plant 7'), spkiDer: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })), algorithm: 'ecdsa-sha256',
  }, (message) => Promise.resolve(new Uint8Array(sign('sha256', message, privateKey))));
  return { file: 'plant-7.csr', kind: 'request', name: 'plant-7', serial: null, tbsSha256: sha256(parseRequest(content).infoDer), content };
}

const signed = (given: TranscriptFacts): Promise<SignedTranscript> => signTranscript(given, ceremonyKey.sign);

/** Signs whatever it is told, as a thief of the ceremony key could. */
function forge(given: unknown): Uint8Array {
  const signature = sign('sha384', Buffer.from(canonicalJson(given as never)), ceremonyKey.privateKey).toString('base64');
  return Buffer.from(`${canonicalJson({ signature, transcript: given } as never)}\n`);
}

const fault = (content: Uint8Array) => pkiError(() => verifyTranscript(content, 'transcripts/1.json'));

describe('a transcript', () => {
  it.each(['p-256', 'p-384', 'ed25519'] as const)('is signed by a %s key and read back', async (type) => {
    const other = key(type);
    const given = facts([certificate('root', root)], {
      ceremonyKey: { keyId: '01', spkiSha256: toHex(spkiSha256(other.spkiDer)), publicKey: publicKeyPem(other.spkiDer) },
    });
    const { content, sha256: hash } = await signTranscript(given, other.sign);
    expect(verifyTranscript(content, 'a')).toMatchObject({ facts: given, sha256: hash });
    expect(hash).toBe(sha256(content));
  });

  it('is found out wherever one octet is changed, missing or added', async () => {
    const { content } = await signed(facts([certificate('root', root)]));
    expect(content.length).toBeGreaterThan(1500);
    for (let at = 0; at < content.length; at++) {
      const changed = Uint8Array.from(content);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const mutations = [changed];
      if (at % 16 === 0) mutations.push(Buffer.concat([content.subarray(0, at), content.subarray(at + 1)]), Buffer.concat([content.subarray(0, at), Buffer.from(' '), content.subarray(at)]));
      for (const mutation of mutations) expect([at, fault(mutation)?.code]).toEqual([at, 'ceremony.transcript-invalid']);
    }
    expect(fault(Buffer.concat([content, Buffer.from('\n')]))?.message).toMatch(/not written as transcripts are/);
    expect(fault(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), content]))?.code).toBe('ceremony.transcript-invalid');
  });

  it.each<[string, (text: string) => string]>([
    ['a field twice', (text) => text.replace('"by":"erin"', '"by":"mallory","by":"erin"')],
    ['a field more', (text) => text.replace('"by":"erin"', '"by":"erin","bz":1')],
    ['a field less', (text) => text.replace('"by":"erin",', '')],
    ['fields in another order', (text) => text.replace(/("approvalsRequired":1),("began":"[^"]*")/, '$2,$1')],
    ['another spelling of a number', (text) => text.replace('"approvalsRequired":1', '"approvalsRequired":1.0')],
    ['another spelling of a letter', (text) => text.replace('"erin"', '"\\u0065rin"')],
    ['indentation', (text) => `${JSON.stringify(JSON.parse(text), null, 2)}\n`],
  ])('is found out with %s', async (_, change) => {
    const { content } = await signed(facts([certificate('root', root)]));
    const text = Buffer.from(content).toString('utf8');
    expect(change(text)).not.toBe(text);
    expect(fault(Buffer.from(change(text)))).toMatchObject({ code: 'ceremony.transcript-invalid', message: expect.stringMatching(/^transcripts\/1\.json: /) });
  });

  it.each<[string, (given: TranscriptFacts) => Partial<TranscriptFacts>, RegExp]>([
    ['the key\'s hash is another\'s', ({ ceremonyKey: own }) => ({ ceremonyKey: { ...own, spkiSha256: sha256('x') } }), /hash of the ceremony key/],
    ['the dry run is another', () => ({ dryRun: 'nothing is signed' }), /hash of the dry run/],
    ['something was signed that the dry run did not hold', ({ out }) => ({ out: out.map((each) => ({ ...each, tbsSha256: sha256('y') })) }), /does not hold what was signed as root\.cer/],
    ['it ended before it began', () => ({ ended: '2026-11-22T11:00:00.000Z' }), /before it began/],
    ['an approval lacks', () => ({ approvals: [] }), /with 0 of 1 approvals/],
    ['an approval is for another dry run', () => ({ approvals: [approval('alice', sha256('z'))] }), /alice: has approved another dry run/],
    ['an approval is another\'s', ({ dryRunSha256 }) => ({ approvals: [approval('alice', dryRunSha256, key())] }), /not this officer's/],
    ['an approval stands twice', ({ approvals }) => ({ approvals: [...approvals, ...approvals] }), /twice/],
    ['whoever held it approved it', () => ({ by: 'alice' }), /nobody approves their own/],
    ['its title breaks its line', () => ({ title: 'A\u001b[2K' }), /title: must be one line of visible characters/],
    ['whoever held it has a name that breaks its line', () => ({ by: 'erin\nand bob' }), /by: must be one line of visible characters/],
    ['a file lies outside of the folder', ({ out }) => ({ out: out.map((each) => ({ ...each, file: '../root.cer' })) }), /out\.0\.file: /],
    ['a key is no key', ({ officers }) => ({ officers: officers.map((each) => ({ ...each, publicKey: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n' })) }), /transcripts\/1\.json: /],
  ])('whose signature holds is refused where %s, and is not signed either', async (_, change, message) => {
    const given = facts([certificate('root', root)]);
    const wrong = { ...given, ...change(given) };
    expect(fault(forge(wrong))).toMatchObject({ code: 'ceremony.transcript-invalid', message: expect.stringMatching(message) });
    await expect(signed(wrong)).rejects.toMatchObject({ code: 'ceremony.transcript-invalid' });
    expect(fault(forge(given))).toBeUndefined();
  });

  it('is not written where the HSM signed badly', async () => {
    await expect(signTranscript(facts([]), key('p-384').sign)).rejects.toMatchObject({ code: 'hsm.signature-invalid' });
  });
});

describe('a folder of ceremonies', () => {
  /** Three ceremonies: root and issuing CA, a request, the root's CRL. */
  async function folder() {
    const [asked, list] = [await request(), crl(root)];
    const rounds: Made[][] = [[certificate('root', root), certificate('issuing', issuing)], [asked], [list]];
    const transcripts: { file: string; content: Uint8Array }[] = [];
    for (const [i, made] of rounds.entries()) {
      const before = transcripts.at(-1);
      const { content } = await signed(facts(made, { previous: before === undefined ? null : sha256(before.content), in: i === 1 ? [{ file: 'elsewhere/plan.yaml', sha256: sha256('plan') }] : [] }));
      transcripts.push({ file: `transcripts/${i + 1}.json`, content });
    }
    const files = new Map(rounds.flat().map(({ file, content }) => [file, content]));
    const objects = [...files].map(([file, content]) => ({ file, sha256: sha256(content) }));
    return { transcripts, objects, files };
  }

  const records = ({ transcripts, objects, files }: Awaited<ReturnType<typeof folder>>): CeremonyRecords =>
    ({ transcripts, objects, read: (file) => files.get(file) });

  it('holds', async () => {
    const found = await folder();
    const verified = verifyCeremonies(records(found));
    expect(verified.transcripts.map(({ file }) => file)).toEqual(['transcripts/1.json', 'transcripts/2.json', 'transcripts/3.json']);
    expect(verified).toMatchObject({ ceremonyKeys: [toHex(spkiSha256(ceremonyKey.spkiDer))], files: 4 });
    const last = verified.transcripts.at(-1);
    expect(() => verifyCeremonies(records(found), { ceremonyKeys: verified.ceremonyKeys, transcript: last?.sha256 ?? '' })).not.toThrow();
  });

  it.each<[string, (found: Awaited<ReturnType<typeof folder>>) => void, RegExp]>([
    ['the first transcript is missing', ({ transcripts }) => transcripts.shift(), /^transcripts\/2\.json: it does not follow the beginning/],
    ['one in between is missing', ({ transcripts }) => transcripts.splice(1, 1), /^transcripts\/3\.json: it does not follow transcripts\/1\.json/],
    ['the last one is missing', ({ transcripts }) => transcripts.pop(), /^root-1\.crl: no transcript tells of it/],
    ['two stand the other way round', ({ transcripts }) => transcripts.reverse(), /does not follow/],
    ['a certificate is missing', ({ files }) => files.delete('issuing.cer'), /^issuing\.cer: it is missing/],
    ['certificates were exchanged', ({ files }) => files.set('issuing.cer', root.certificate), /^issuing\.cer: it is not the one/],
    ['a certificate lies there as another PEM', ({ files }) => files.set('issuing.pem', Buffer.from(encodePem('CERTIFICATE', root.certificate))), /^issuing\.pem: it is not issuing\.cer as PEM/],
    ['a request was changed', ({ files }) => files.set('plant-7.csr', Uint8Array.from(files.get('plant-7.csr') ?? []).fill(7, -1)), /^plant-7\.csr: it is not the one/],
    ['ceremony.json names what no ceremony made', ({ objects }) => objects.push({ file: 'evil.cer', sha256: sha256('evil') }), /^evil\.cer: no transcript/],
    ['ceremony.json names another hash', ({ objects }) => objects.splice(0, 1, { file: 'root.cer', sha256: sha256('evil') }), /^root\.cer: no transcript/],
  ])('is found out where %s', async (_, damage, message) => {
    const found = await folder();
    damage(found);
    expect(pkiError(() => verifyCeremonies(records(found)))).toMatchObject({ code: 'ceremony.transcript-invalid', message: expect.stringMatching(message) });
  });

  it.each<[string, () => Made[], RegExp]>([
    ['a CRL by another key', () => [certificate('root', root), crl(root, issuing)], /^root-1\.crl: its signature does not verify/],
    ['a certificate whose issuer is nowhere', () => [certificate('issuing', issuing)], /^issuing\.cer: the certificate of its issuer is not/],
    ['another serial number', () => [{ ...certificate('root', root), serial: '01' }], /^root\.cer: its serial number/],
    ['another TBS', () => [{ ...certificate('root', root), tbsSha256: sha256('other') }], /^root\.cer: what is signed in it/],
    ['what is no certificate', () => [{ ...certificate('root', root), content: Buffer.from('none') }], /^root\.cer: /],
    ['a certificate that nobody signed', () => {
      const { tbsDer, signatureAlgorithm } = parseCertificate(root.certificate);
      return [{ ...certificate('root', root), content: assembleCertificate(tbsDer, signatureAlgorithm, issuing.sign(tbsDer)) }];
    }, /^root\.cer: its signature does not verify/],
  ])('is found out where a signed transcript tells of %s', async (_, made, message) => {
    // Once: ECDSA signatures differ from call to call.
    const objects = made();
    const files = new Map(objects.map(({ file, content }) => [file, content]));
    const { content } = await signed(facts(objects));
    const transcripts = [{ file: '1.json', content }];
    expect(pkiError(() => verifyCeremonies({ transcripts, objects: [], read: (file) => files.get(file) }))).toMatchObject({
      code: 'ceremony.transcript-invalid', message: expect.stringMatching(message),
    });
  });

  it('is not the one that a witness knows', async () => {
    const found = await folder();
    expect(pkiError(() => verifyCeremonies(records(found), { ceremonyKeys: [sha256('other')] }))?.message).toMatch(/which is not the one you name/);
    expect(pkiError(() => verifyCeremonies(records(found), { transcript: sha256('other') }))?.message).toMatch(/one is missing, or this is another folder/);
  });

  it('may have a file that was followed by another of its name', async () => {
    const [one, two] = [crl(root), crl(root)];
    const first = await signed(facts([certificate('root', root), one]));
    const second = await signed(facts([two], { previous: first.sha256 }));
    const files = new Map([['root.cer', root.certificate], ['root-1.crl', two.content]]);
    const transcripts = [first, second].map(({ content }, i) => ({ file: `${i + 1}.json`, content }));
    expect(verifyCeremonies({ transcripts, objects: [], read: (file) => files.get(file) }).files).toBe(2);
  });
});
