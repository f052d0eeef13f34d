import { execFile } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Secret, toHex } from '@fleetroot/core';
import { keyAlgorithms, openSigner, type Signer, type SignerOptions, startTokenProcess } from '@fleetroot/hsm';
import { type SignatureAlgorithm, signatureAlgorithmFor, verifySignature } from '@fleetroot/x509';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clientModule, HsmServer } from '../support/hsm-server.ts';
import { makeToken, type TestToken } from '../support/softhsm.ts';

const run = promisify(execFile);
const SPY = '/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so';

let token: TestToken;
const signers: Signer[] = [];

async function open(options: Partial<SignerOptions> & Pick<SignerOptions, 'keys'>): Promise<Signer> {
  const { module, tokenLabel, pin, softhsmConf } = token;
  const signer = await openSigner({ module, tokenLabel, pin, softhsmConf, deadlineMs: 5000, sessionCopies: 'try', ...options });
  signers.push(signer);
  return signer;
}

beforeAll(async () => {
  token = await makeToken();
});

afterEach(async () => {
  for (const signer of signers.splice(0)) await signer.close();
});

afterAll(() => token.remove());

const messages = (count: number): Uint8Array[] => Array.from({ length: count }, () => new Uint8Array(randomBytes(700)));

describe('signing', () => {
  const others: Record<string, SignatureAlgorithm[]> = {
    'p-256': ['ecdsa-sha384'], 'p-384': ['ecdsa-sha512'],
    'rsa-2048': ['rsa-sha384', 'rsa-sha512', 'rsa-pss-sha256', 'rsa-pss-sha384', 'rsa-pss-sha512'],
  };
  for (const algorithm of keyAlgorithms.filter((each) => each !== 'rsa-4096')) {
    it.each(['try', 'never'] as const)(`with ${algorithm}, session copies: %s`, async (sessionCopies) => {
      const key = await token.generateKey(algorithm);
      const signer = await open({ keys: [key], sessionCopies });
      expect(signer.sessionCopies).toBe(sessionCopies === 'try');
      for (const by of [signatureAlgorithmFor(key.spkiDer), ...(others[algorithm] ?? [])]) {
        const tbs = messages(5);
        const signatures = await signer.sign(key.keyId, by, tbs);
        expect(signatures.map((signature, i) => verifySignature(key.spkiDer, by, tbs[i] ?? new Uint8Array(), signature)))
          .toEqual([true, true, true, true, true]);
      }
    });
  }

  it('serves calls that overlap in order, each with its own key', async () => {
    const keys = await Promise.all([token.generateKey('p-256'), token.generateKey('p-256')]);
    const signer = await open({ keys });
    const calls = Array.from({ length: 10 }, (_, i) => ({ key: keys[i % 2] ?? keys[0], tbs: messages(i * 20) }));
    const answers = await Promise.all(calls.map(({ key, tbs }) => signer.sign(key.keyId, 'ecdsa-sha256', tbs)));
    calls.forEach(({ key, tbs }, i) => {
      expect(answers[i]).toHaveLength(tbs.length);
      tbs.forEach((each, j) => {
        expect(verifySignature(key.spkiDer, 'ecdsa-sha256', each, answers[i]?.[j] ?? new Uint8Array())).toBe(true);
      });
    });
  });

  it('refuses an algorithm that is not of the key, and goes on', async () => {
    const key = await token.generateKey('p-256');
    const signer = await open({ keys: [key] });
    await expect(signer.sign(key.keyId, 'rsa-sha256', messages(1))).rejects.toMatchObject({ code: 'hsm.mechanism-missing' });
    await expect(signer.sign(randomBytes(20), 'ecdsa-sha256', messages(1))).rejects.toMatchObject({ code: 'hsm.key-not-found' });
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(1))).resolves.toHaveLength(1);
  });

  it('takes a session up anew after the token was away and is back', async () => {
    const key = await token.generateKey('p-256');
    const signer = await open({ keys: [key], sessionCopies: 'never' });
    const tokens = join(token.dir, 'tokens');
    await rename(tokens, `${tokens}-away`);
    const refused = await signer.sign(key.keyId, 'ecdsa-sha256', messages(3)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'hsm.unavailable', data: { attempted: 0 }, retry: 'later' });
    await rename(`${tokens}-away`, tokens);
    await expect(signer.sign(key.keyId, 'ecdsa-sha256', messages(3))).resolves.toHaveLength(3);
  });

  it('keeps nothing of the PIN in arguments or environment of the HSM process', async () => {
    const key = await token.generateKey('p-256');
    await open({ keys: [key] });
    const { stdout } = await run('pgrep', ['-P', String(process.pid)]);
    const children = stdout.trim().split('\n');
    expect(children.length).toBeGreaterThan(0);
    for (const pid of children) {
      const seen = await Promise.all(['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')));
      expect(seen.join()).not.toContain(token.pin.reveal());
    }
  });
});

describe('keys that are not what they should be', () => {
  const spkiOfAnother = () => new Uint8Array(
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' }),
  );

  it('refuses a public key that is not the certificate\'s', async () => {
    const { keyId } = await token.generateKey('p-256');
    await expect(open({ keys: [{ keyId, spkiDer: spkiOfAnother() }] })).rejects.toMatchObject({ code: 'hsm.key-mismatch', retry: 'stop' });
  });

  it('refuses a key that is not there', async () => {
    await expect(open({ keys: [{ keyId: randomBytes(20), spkiDer: spkiOfAnother() }] })).rejects.toMatchObject({ code: 'hsm.key-not-found' });
  });

  it('refuses a token label that is not there', async () => {
    await expect(open({ tokenLabel: 'no-such-token', keys: [] })).rejects.toMatchObject({ code: 'hsm.token-not-found' });
  });

  /** By pkcs11-tool with its own temporary token: the PIN of a throw-away token may stand in an argument. */
  async function withPkcs11Tool(...argumentsOfTool: string[]): Promise<void> {
    await run('pkcs11-tool', ['--module', token.module, '--token-label', token.tokenLabel, '--login', '--pin', token.pin.reveal(), ...argumentsOfTool], {
      env: { ...process.env, SOFTHSM2_CONF: token.softhsmConf },
    });
  }

  it('refuses two private keys with one CKA_ID', async () => {
    const key = await token.generateKey('p-256');
    await withPkcs11Tool('--keypairgen', '--key-type', 'EC:prime256v1', '--id', toHex(key.keyId), '--sensitive');
    await expect(open({ keys: [key] })).rejects.toMatchObject({ code: 'hsm.key-mismatch', message: expect.stringContaining('2 private keys') });
  });

  it('refuses a key that may leave the token', async () => {
    const id = toHex(randomBytes(20));
    await withPkcs11Tool('--keypairgen', '--key-type', 'EC:prime256v1', '--id', id, '--extractable');
    const admin = await startTokenProcess({ softhsmConf: token.softhsmConf });
    const open_ = await admin.open(token);
    const found = (await open_.listKeys()).find(({ keyId }) => toHex(keyId) === id);
    await admin.close();
    expect(found?.closed).toBe(false);
    await expect(open({ keys: [{ keyId: Buffer.from(id, 'hex'), spkiDer: found?.spkiDer ?? new Uint8Array() }] }))
      .rejects.toMatchObject({ code: 'hsm.key-mismatch', message: expect.stringContaining('CKA_EXTRACTABLE') });
  });

  it('makes keys that pkcs11-tool shows as closed and for signing only', async () => {
    const fresh = await makeToken();
    try {
      await fresh.generateKey('p-384', 'a-ca');
      await fresh.generateKey('rsa-2048', 'another-ca');
      const { stdout } = await run('pkcs11-tool', ['--module', fresh.module, '--login', '--pin', fresh.pin.reveal(), '--list-objects', '--type', 'privkey'], {
        env: { ...process.env, SOFTHSM2_CONF: fresh.softhsmConf },
      });
      expect(stdout.match(/Usage: +sign$/gm)).toHaveLength(2);
      expect(stdout.match(/Access: +sensitive, always sensitive, never extractable, local/g)).toHaveLength(2);
    } finally {
      await fresh.remove();
    }
  });
});

describe('the PIN', () => {
  it('is tried once and never again when the token refuses it', async () => {
    const key = await token.generateKey('p-256');
    const log = join(token.dir, 'spy.log');
    process.env['PKCS11SPY'] = token.module;
    process.env['PKCS11SPY_OUTPUT'] = log;
    try {
      // A signer that cannot be opened is gone; what is remembered shows where the PIN changes under an open one.
      await expect(open({ module: SPY, pin: new Secret('wrong-wrong-wrong'), keys: [key] }))
        .rejects.toMatchObject({ code: 'hsm.pin-incorrect', retry: 'stop' });
      const logins = async () => (await readFile(log, 'utf8')).match(/: C_Login$/gm)?.length;
      expect(await logins()).toBe(1);

      const signer = await open({ module: SPY, keys: [key], sessionCopies: 'never' });
      expect(await logins()).toBe(2);
      const tokens = join(token.dir, 'tokens');
      const other = await makeToken(token.tokenLabel);
      await rename(tokens, `${tokens}-away`);
      await rename(join(other.dir, 'tokens'), tokens);
      const attempts = [];
      for (let i = 0; i < 4; i++) attempts.push(await signer.sign(key.keyId, 'ecdsa-sha256', messages(2)).catch((error: { code: string }) => error.code));
      await rename(tokens, join(other.dir, 'tokens'));
      await rename(`${tokens}-away`, tokens);
      await other.remove();
      expect(attempts).toEqual(Array(4).fill('hsm.pin-incorrect'));
      expect(await logins()).toBe(3);
    } finally {
      delete process.env['PKCS11SPY'];
      delete process.env['PKCS11SPY_OUTPUT'];
    }
  });
});

describe('an HSM that hangs or dies', () => {
  it('leaves the event loop alone, keeps the deadline, and is taken up again', async () => {
    const own = await makeToken();
    const server = new HsmServer(own);
    const key = await own.generateKey('p-256');
    await server.start();
    process.env['P11_KIT_SERVER_ADDRESS'] = server.address;
    try {
      const signer = await open({ ...own, module: clientModule, keys: [key], deadlineMs: 1000 });
      const sign = () => signer.sign(key.keyId, 'ecdsa-sha256', messages(20));
      const code = (error: { code?: string }) => error.code ?? String(error);
      await expect(sign()).resolves.toHaveLength(20);

      server.hang();
      let lag = 0;
      let last = performance.now();
      const ticker = setInterval(() => {
        lag = Math.max(lag, performance.now() - last - 10);
        last = performance.now();
      }, 10);
      const started = performance.now();
      expect(await Promise.all([sign().catch(code), sign().catch(code)])).toEqual(['hsm.deadline', 'hsm.deadline']);
      const took = performance.now() - started;
      expect(took).toBeGreaterThan(990);
      expect(took).toBeLessThan(4000);
      // Still hanging: a new process is started, and given up as well.
      expect(await sign().catch(code)).toBe('hsm.deadline');
      clearInterval(ticker);
      expect(lag).toBeLessThan(500);

      server.resume();
      await pause(600);
      await expect(sign()).resolves.toHaveLength(20);

      await server.kill();
      expect(await sign().catch(code)).toBe('hsm.unavailable');
      await server.start();
      await expect.poll(() => sign().then(({ length }) => length, code), { timeout: 15_000, interval: 250 }).toBe(20);
    } finally {
      delete process.env['P11_KIT_SERVER_ADDRESS'];
      await server.kill();
      await own.remove();
    }
  });

  it('is not in the way of closing', async () => {
    const own = await makeToken();
    const server = new HsmServer(own);
    const key = await own.generateKey('p-256');
    await server.start();
    process.env['P11_KIT_SERVER_ADDRESS'] = server.address;
    try {
      const signer = await openSigner({ ...own, module: clientModule, keys: [key], deadlineMs: 1000, sessionCopies: 'try' });
      server.hang();
      const pending = signer.sign(key.keyId, 'ecdsa-sha256', messages(1)).catch((error: { code: string }) => error.code);
      const started = performance.now();
      await signer.close();
      expect(performance.now() - started).toBeLessThan(4000);
      expect(['hsm.deadline', 'hsm.unavailable']).toContain(await pending);
    } finally {
      delete process.env['P11_KIT_SERVER_ADDRESS'];
      await server.kill();
      await own.remove();
    }
  });
});

describe('administration', () => {
  it('finishes a token that was left without a user PIN, and leaves a finished one alone', async () => {
    const { softhsmConf, module, pin, soPin } = token;
    const admin = await startTokenProcess({ softhsmConf });
    try {
      await run('pkcs11-tool', ['--module', module, '--slot-index', '1', '--init-token', '--label', 'second', '--so-pin', soPin.reveal()], {
        env: { ...process.env, SOFTHSM2_CONF: softhsmConf },
      });
      expect(await admin.findToken({ module, label: 'second' })).toMatchObject({ userPinSet: false });
      const first = await admin.initToken({ module, label: 'second', soPin, pin });
      expect(first).toMatchObject({ label: 'second', userPinSet: true });
      const again = await admin.initToken({ module, label: 'second', soPin: new Secret('another-so-pin'), pin: new Secret('another-pin') });
      expect(again).toEqual(first);
      const opened = await admin.open({ module, tokenLabel: 'second', pin });
      const keyId = new Uint8Array(randomBytes(20));
      const spkiDer = await opened.generateKeyPair({ algorithm: 'p-256', label: 'a', keyId });
      expect(createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' }).asymmetricKeyDetails).toMatchObject({ namedCurve: 'prime256v1' });
      await expect(opened.generateKeyPair({ algorithm: 'p-256', label: 'b', keyId })).rejects.toMatchObject({ code: 'hsm.key-mismatch' });
      expect(await opened.listKeys()).toEqual([{ keyId, label: 'a', spkiDer, closed: true }]);
      const tbs = messages(1)[0] ?? new Uint8Array();
      expect(verifySignature(spkiDer, 'ecdsa-sha256', tbs, await opened.sign(keyId, 'ecdsa-sha256', tbs))).toBe(true);
      expect(await admin.findToken({ module, label: 'third' })).toBeUndefined();
    } finally {
      await admin.close();
    }
  });
});
