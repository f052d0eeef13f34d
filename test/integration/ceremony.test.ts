import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type CeremonyParts, type CeremonyToken, heldAuthorities, holdCeremony, parseCeremonyPlan } from '@fleetroot/authority';
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
    const held = await hierarchy();
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
    const keys = held.map(({ keyId, certificate }) => ({ keyId, spkiDer: parseCertificate(certificate).spkiDer }));
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
      facts: opened.facts,
      listKeys: () => opened.listKeys(),
      generateKeyPair: (request) => broken(() => opened.generateKeyPair(request), operation === 'generateKeyPair'),
      sign: (...request) => broken(() => opened.sign(...request), operation === 'sign'),
    };
  }

  it.each(
    (['generateKeyPair', 'sign'] as const).flatMap((operation) => [1, 2].flatMap((nth) => (['before', 'after'] as const).map((when) => [when, nth, operation] as const))),
  )('that dies %s call %i of %s goes on with the keys it has made', async (when, nth, operation) => {
    const before = await keyCount();
    await expect(holdCeremony(await parts({ token: failing(operation, nth, when) }))).rejects.toThrow('crash');
    expect(heldAuthorities(join(dataDir, 'ceremony'))).toEqual([]);
    const held = await holdCeremony(await parts());
    expect(held).toHaveLength(2);
    expect(await keyCount()).toBe(before + 2);
    expect(await readdir(join(dataDir, 'ceremony'))).not.toContain('intents.json');
  });

  it('takes a certificate that was written but not put on record as it is', async () => {
    const folder = join(dataDir, 'ceremony');
    // The last step, putting ceremony.json in place, fails.
    await mkdir(join(folder, 'ceremony.json.new'), { recursive: true });
    await expect(holdCeremony(await parts())).rejects.toThrow('EISDIR');
    const written = await readFile(join(folder, 'ecu-issuing.cer'));
    expect(heldAuthorities(folder)).toEqual([]);
    await rm(join(folder, 'ceremony.json.new'), { recursive: true });
    const [, issuing] = await holdCeremony(await parts());
    expect(Buffer.from(issuing?.certificate ?? [])).toEqual(written);
    expect(JSON.parse(await readFile(join(folder, 'transcript.json'), 'utf8'))).toHaveLength(1);
  });

  it('begins with another key and serial number where the plan changed after a crash', async () => {
    await expect(holdCeremony(await parts({ token: failing('sign', 1, 'after') }))).rejects.toThrow('crash');
    const intents = JSON.parse(await readFile(join(dataDir, 'ceremony/intents.json'), 'utf8')) as { keyId: string; serial: string }[];
    const text = (await readFile(planFile, 'utf8')).replace('years: 20', 'years: 25');
    const [root] = await holdCeremony(await parts({ plan: parseCeremonyPlan(text, 'changed') }));
    expect(toHex(root?.keyId ?? new Uint8Array())).not.toBe(intents[0]?.keyId);
    expect(toHex(parseCertificate(root?.certificate ?? new Uint8Array()).serial)).not.toBe(intents[0]?.serial);
  });

  it('refuses to change a CA, and adds one to those that are there', async () => {
    const first = await holdCeremony(await parts());
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
    const held = await holdCeremony(await parts({ plan: parseCeremonyPlan(more, 'more'), statusUrl: 'https://elsewhere.example/' }));
    expect(held.slice(0, 2)).toEqual(first);
    const [root, , added] = held;
    const parsed = parseCertificate(added?.certificate ?? new Uint8Array());
    expect(parsed.crlUrls).toEqual(['https://elsewhere.example/crl/fleetroot-dev-root.crl']);
    expect(parsed.notAfter).toEqual(root?.notAfter);
    await writeFile(join(dataDir, 'root.pem'), encodePem('CERTIFICATE', root?.certificate ?? new Uint8Array()));
    await writeFile(join(dataDir, 'added.pem'), encodePem('CERTIFICATE', parsed.der));
    await run('openssl', ['verify', '-x509_strict', '-CAfile', join(dataDir, 'root.pem'), join(dataDir, 'added.pem')]);
    const transcript = JSON.parse(await readFile(join(dataDir, 'ceremony/transcript.json'), 'utf8')) as { by: string; authorities: { name: string }[] }[];
    expect(transcript.map(({ authorities }) => authorities.map(({ name }) => name))).toEqual([['fleetroot-dev-root', 'ecu-issuing'], ['ecu-issuing-2']]);
  });
});
