import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type CeremonyParts, ceremonyRecords, type CeremonyToken, heldObjects, holdCeremony, parseCeremonyPlan, prepareCeremony, verifyCeremonies } from '@fleetroot/authority';
import { systemClock, systemRandom, toHex } from '@fleetroot/core';
import { openSigner, startTokenProcess, type TokenProcess } from '@fleetroot/hsm';
import { encodePem, parseCertificate } from '@fleetroot/x509';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ensureDevelopmentHierarchy } from '../../apps/cli/src/ceremony/hierarchy.ts';
import { ensureTokens } from '../../apps/cli/src/tokens/tokens.ts';
import { makeToken, softhsmModule, type TestToken } from '../support/softhsm.ts';

const run = promisify(execFile);
const planFile = fileURLToPath(new URL('../../hsm-config/ceremony-dev.yaml', import.meta.url));
const statusUrl = 'http://127.0.0.1:8081';

/** SHA-256 over the JSON of name, parent, key, subject, years and path length, as version 0.1 put it on record. */
const PLANNED_BY_OLDER_RELEASE = [
  '899c8c3b3ca5169e4e1a36f613d1aec4557ac1bcbe145c6c015c2d18d8f387b0', 'e2175d633bf0b18956c68c037523808ec84be2aa7ab38f23924833cb29794d92',
];

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'fleetroot-ceremony-'));
});

afterEach(() => rm(dataDir, { recursive: true, force: true }));

/** SoftHSM writes these at every login. */
const WRITTEN_BY_LOGIN = /\/tokens\/[^/]+\/(?:token\.object|generation)$/;

/** Every file below, with what is in it and its mode. */
async function contents(dir: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode } = await stat(path);
    found[path] = `${(mode & 0o777).toString(8)} ${entry.isFile() ? await readFile(path, 'latin1') : ''}`;
  }
  return found;
}

describe('the development hierarchy', () => {
  const hierarchy = async () => {
    const { ca } = await ensureTokens({ dataDir, module: softhsmModule });
    return ensureDevelopmentHierarchy({ planFile, dataDir, module: softhsmModule, ...ca, statusUrl, clock: systemClock });
  };

  it('is made from nothing, judged by openssl, and signs', async () => {
    const { authorities: held } = await hierarchy();
    expect(held.map(({ name, parent }) => [name, parent])).toEqual([['fleetroot-dev-root', undefined], ['ecu-issuing', 'fleetroot-dev-root']]);
    const file = (name: string) => join(dataDir, 'ceremony', name);
    const { stdout } = await run('openssl', ['verify', '-x509_strict', '-check_ss_sig', '-CAfile', file('fleetroot-dev-root.pem'), file('ecu-issuing.pem')]);
    expect(stdout).toContain('ecu-issuing.pem: OK');
    const text = (await run('openssl', ['x509', '-in', file('ecu-issuing.cer'), '-inform', 'DER', '-noout', '-text'])).stdout;
    for (const line of ['CA:TRUE, pathlen:0', 'Certificate Sign, CRL Sign', 'CA Issuers - URI:http://127.0.0.1:8081/ca/fleetroot-dev-root.cer', 'URI:http://127.0.0.1:8081/crl/fleetroot-dev-root.crl']) {
      expect(text).toContain(line);
    }
    for (const { certificate, notBefore, notAfter } of held) {
      const parsed = parseCertificate(certificate);
      expect(parsed.serial).toHaveLength(16);
      expect(parsed.notBefore).toEqual(notBefore);
      expect(parsed.notAfter).toEqual(notAfter);
      expect(notBefore.getTime()).toBeLessThanOrEqual(Date.now());
    }
    const { ca } = await ensureTokens({ dataDir, module: softhsmModule });
    const keys = held.map(({ keyId = new Uint8Array(), certificate }) => ({ keyId, spkiDer: parseCertificate(certificate).spkiDer }));
    const signer = await openSigner({ module: softhsmModule, ...ca, deadlineMs: 5000, sessionCopies: 'try', keys });
    await signer.close();
  });

  it('changes nothing the second time', async () => {
    const first = await hierarchy();
    const before = await contents(dataDir);
    expect(await hierarchy()).toEqual(first);
    const after = await contents(dataDir);
    const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((path) => before[path] !== after[path]);
    expect(changed.filter((path) => !WRITTEN_BY_LOGIN.test(path))).toEqual([]);
  });

  it('keeps PINs in files of mode 0600, and in no other file', async () => {
    await hierarchy();
    const files = await contents(dataDir);
    for (const name of ['ca-token.pin', 'ca-token.so-pin', 'ocsp-token.pin', 'ocsp-token.so-pin']) {
      const path = join(dataDir, 'secrets', name);
      expect(files[path]).toMatch(/^600 [A-Za-z2-9]{24}\n$/);
      const pin = (await readFile(path, 'utf8')).trim();
      expect(Object.entries(files).filter(([other, content]) => other !== path && content.includes(pin))).toEqual([]);
    }
    for (const folder of ['secrets', 'softhsm/ca', 'softhsm/ca/tokens', 'softhsm/ocsp', 'softhsm/ocsp/tokens']) {
      expect(files[join(dataDir, folder)]).toBe('700 ');
    }
  });

  it.each<[string, () => Promise<void>, string, RegExp]>([
    ['a PIN file is lost', () => rm(join(dataDir, 'secrets/ca-token.pin')), 'setup.failed', /ca-token\.pin does not: restore/],
    ['a PIN file was changed', () => writeFile(join(dataDir, 'secrets/ca-token.pin'), 'not-the-pin\n'), 'hsm.pin-incorrect', /does not hold the PIN/],
    ['the CA token is lost', () => rm(join(dataDir, 'softhsm/ca/tokens'), { recursive: true }), 'setup.failed', /is gone from .*restore that folder/],
    ['a certificate was changed', () => rename(join(dataDir, 'ceremony/ecu-issuing.cer'), join(dataDir, 'ceremony/fleetroot-dev-root.cer')), 'ceremony.invalid', /restore it from a backup/],
  ])('says so where %s', async (_, damage, code, message) => {
    await hierarchy();
    await damage();
    await expect(hierarchy()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('is finished where a run was cut off after the PINs, or before the user PIN', async () => {
    await ensureTokens({ dataDir, module: softhsmModule });
    const pins = await readFile(join(dataDir, 'secrets/ca-token.pin'), 'utf8');
    for (const name of ['ca', 'ocsp']) await rm(join(dataDir, 'softhsm', name, 'tokens'), { recursive: true });
    const { softhsmConf } = await ensureTokens({ dataDir, module: softhsmModule });
    expect(await readFile(join(dataDir, 'secrets/ca-token.pin'), 'utf8')).toBe(pins);

    await rm(join(dataDir, 'softhsm/ca/tokens'), { recursive: true });
    await mkdir(join(dataDir, 'softhsm/ca/tokens'));
    const soPin = (await readFile(join(dataDir, 'secrets/ca-token.so-pin'), 'utf8')).trim();
    await run('pkcs11-tool', ['--module', softhsmModule, '--slot-index', '0', '--init-token', '--label', 'fleetroot-ca', '--so-pin', soPin], {
      env: { ...process.env, SOFTHSM2_CONF: softhsmConf.ca },
    });
    await hierarchy();
  });
});

describe('a ceremony', () => {
  let token: TestToken;
  let admin: TokenProcess;
  let opened: Awaited<ReturnType<TokenProcess['open']>>;

  beforeAll(async () => {
    token = await makeToken();
    admin = await startTokenProcess({ softhsmConf: token.softhsmConf });
    opened = await admin.open(token);
    await opened.generateKeyPair({ algorithm: 'p-256', label: 'fleetroot-ceremony', keyId: systemRandom(20) });
  });

  afterAll(async () => {
    await admin.close();
    await token.remove();
  });

  const parts = async (over: Partial<CeremonyParts> = {}): Promise<CeremonyParts> => ({
    plan: parseCeremonyPlan(await readFile(planFile, 'utf8'), planFile), folder: join(dataDir, 'ceremony'), token: opened, statusUrl,
    by: 'tester', clock: systemClock, random: systemRandom, ...over,
  });

  const keyCount = async (): Promise<number> => (await opened.listKeys()).length;

  const delegated = (): CeremonyToken => ({
    facts: opened.facts, listKeys: () => opened.listKeys(), generateKeyPair: (request) => opened.generateKeyPair(request),
    sign: (...request) => opened.sign(...request),
  });

  /** The token, failing at the nth call of one of its operations, before or after the deed. */
  function failing(operation: 'generateKeyPair' | 'sign', nth: number, when: 'before' | 'after'): CeremonyToken {
    let calls = 0;
    const broken = async <T>(work: () => Promise<T>, own: boolean): Promise<T> => {
      const fails = own && ++calls === nth;
      if (fails && when === 'before') throw new Error('crash');
      const result = await work();
      if (fails) throw new Error('crash');
      return result;
    };
    return {
      ...delegated(),
      generateKeyPair: (request) => broken(() => opened.generateKeyPair(request), operation === 'generateKeyPair'),
      sign: (...request) => broken(() => opened.sign(...request), operation === 'sign'),
    };
  }

  const folder = () => join(dataDir, 'ceremony');
  const transcripts = async () => (await readdir(join(folder(), 'transcripts'))).sort();

  it.each(
    (['generateKeyPair', 'sign'] as const).flatMap((operation) => [1, 2, 3].flatMap((nth) => (['before', 'after'] as const).map((when) => [when, nth, operation] as const)))
      // The key that signs transcripts is in the token already: the third would be one of a third CA.
      .filter(([, nth, operation]) => operation === 'sign' || nth < 3),
  )('that dies %s call %i of %s goes on with the keys it has made, to the same octets', async (when, nth, operation) => {
    const before = await keyCount();
    const broken = failing(operation, nth, when);
    await expect(holdCeremony(await parts({ token: broken }))).rejects.toThrow('crash');
    expect(heldObjects(folder()).authorities).toEqual([]);
    const { sha256, objects } = await prepareCeremony(await parts());
    const { authorities } = await holdCeremony(await parts());
    expect(authorities.map(({ certificate }) => toHex(parseCertificate(certificate).tbsDer))).toEqual(objects.map(({ tbs }) => toHex(tbs)));
    expect(verifyCeremonies(ceremonyRecords(folder())).transcripts.map(({ facts }) => facts.dryRunSha256)).toEqual([sha256]);
    expect(await keyCount()).toBe(before + 2);
    expect(await readdir(folder())).not.toContain('intents.json');
  });

  it.each([
    'intents.json', 'fleetroot-dev-root.cer', 'fleetroot-dev-root.pem', 'ecu-issuing.cer', 'ecu-issuing.pem', 'transcripts/0001.json', 'ceremony.json',
  ])('that dies where %s is written goes on, and signs nothing that has a file', async (file) => {
    const before = await keyCount();
    const signed: Uint8Array[] = [];
    const token: CeremonyToken = { ...delegated(), sign: (keyId, algorithm, message) => (signed.push(message), opened.sign(keyId, algorithm, message)) };
    await mkdir(join(folder(), `${file}.new`), { recursive: true });
    await expect(holdCeremony(await parts({ token }))).rejects.toThrow('EISDIR');
    const written = (await readdir(folder())).filter((name) => name.endsWith('.cer'));
    const octets = await Promise.all(written.map((name) => readFile(join(folder(), name))));
    expect(heldObjects(folder()).authorities).toEqual([]);
    await rm(join(folder(), `${file}.new`), { recursive: true });
    const { authorities } = await holdCeremony(await parts({ token }));
    expect(await Promise.all(written.map((name) => readFile(join(folder(), name))))).toEqual(octets);
    const seen = signed.map(toHex);
    for (const { certificate, name } of authorities) {
      const signatures = seen.filter((message) => message === toHex(parseCertificate(certificate).tbsDer)).length;
      // Between C_Sign and the file nothing tells that it was signed: the same octets are signed again.
      expect(signatures).toBe(file === `${name}.cer` ? 2 : 1);
    }
    expect(await transcripts()).toEqual(['0001.json']);
    expect(verifyCeremonies(ceremonyRecords(folder())).files).toBe(2);
    expect(await keyCount()).toBe(before + 2);
  });

  it('begins with another key and serial number where the plan changed after a crash', async () => {
    await expect(holdCeremony(await parts({ token: failing('sign', 1, 'after') }))).rejects.toThrow('crash');
    const intents = JSON.parse(await readFile(join(dataDir, 'ceremony/intents.json'), 'utf8')) as { keyId: string; serial: string }[];
    const text = (await readFile(planFile, 'utf8')).replace('years: 20', 'years: 25');
    const { authorities: [root] } = await holdCeremony(await parts({ plan: parseCeremonyPlan(text, 'changed') }));
    expect(toHex(root?.keyId ?? new Uint8Array())).not.toBe(intents[0]?.keyId);
    expect(toHex(parseCertificate(root?.certificate ?? new Uint8Array()).serial)).not.toBe(intents[0]?.serial);
  });

  it('refuses to change a CA, and adds one to those that are there', async () => {
    const { authorities: first } = await holdCeremony(await parts());
    const text = await readFile(planFile, 'utf8');
    await expect(holdCeremony(await parts({ plan: parseCeremonyPlan(text.replace('years: 10', 'years: 9'), 'changed') })))
      .rejects.toMatchObject({ code: 'ceremony.invalid', message: expect.stringContaining('give the new one a name of its own') });
    const more = `${text}
  - name: ecu-issuing-2
    parent: fleetroot-dev-root
    key: ed25519
    subject: {commonName: Second}
    years: 20
    pathLength: 0
`;
    const { authorities: held } = await holdCeremony(await parts({ plan: parseCeremonyPlan(more, 'more'), statusUrl: 'https://elsewhere.example/' }));
    expect(held.slice(0, 2)).toEqual(first);
    const [root, , added] = held;
    const parsed = parseCertificate(added?.certificate ?? new Uint8Array());
    expect(parsed.crlUrls).toEqual(['https://elsewhere.example/crl/fleetroot-dev-root.crl']);
    expect(parsed.notAfter).toEqual(root?.notAfter);
    await writeFile(join(dataDir, 'root.pem'), encodePem('CERTIFICATE', root?.certificate ?? new Uint8Array()));
    await writeFile(join(dataDir, 'added.pem'), encodePem('CERTIFICATE', parsed.der));
    await run('openssl', ['verify', '-x509_strict', '-CAfile', join(dataDir, 'root.pem'), join(dataDir, 'added.pem')]);
    const told = verifyCeremonies(ceremonyRecords(folder())).transcripts;
    expect(told.map(({ facts }) => facts.out.map(({ name }) => name))).toEqual([['fleetroot-dev-root', 'ecu-issuing'], ['ecu-issuing-2']]);
    expect(told.map(({ facts }) => facts.by)).toEqual(['tester', 'tester']);
  });

  it('goes on in a folder that an older release wrote', async () => {
    await holdCeremony(await parts());
    const { authorities } = JSON.parse(await readFile(join(folder(), 'ceremony.json'), 'utf8')) as { authorities: Record<string, unknown>[] };
    const older = authorities.map(({ name, parent, keyId, sha256, notBefore, notAfter, planned }) => ({ name, parent, keyId, sha256, notBefore, notAfter, planned }));
    // The hash that the released version kept of these two CAs.
    expect(older.map(({ planned }) => planned)).toEqual(PLANNED_BY_OLDER_RELEASE);
    await writeFile(join(folder(), 'ceremony.json'), JSON.stringify({ authorities: older }));
    await rm(join(folder(), 'transcripts'), { recursive: true });
    await writeFile(join(folder(), 'transcript.json'), '[]');
    const before = await contents(folder());
    const held = await holdCeremony(await parts());
    expect(held.authorities).toMatchObject([{ name: 'fleetroot-dev-root', succeeds: undefined, labels: {} }, { name: 'ecu-issuing' }]);
    expect(await contents(folder())).toEqual(before);
    const plan = parseCeremonyPlan(JSON.stringify({ ceremony: 'CRL', crls: [{ authority: 'fleetroot-dev-root', days: 30 }] }), 'plan.yaml');
    expect((await holdCeremony(await parts({ plan }))).crls).toHaveLength(1);
  });
});
