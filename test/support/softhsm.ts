import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '@fleetroot/core';
import { type KeyAlgorithm, startTokenProcess } from '@fleetroot/hsm';

export const softhsmModule = '/usr/lib/softhsm/libsofthsm2.so';

/** A SoftHSM token of a test's own, in a temporary folder. */
export interface TestToken {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  readonly soPin: Secret;
  /** Pass it to openSigner and startTokenProcess, or set it as SOFTHSM2_CONF of a child process. */
  readonly softhsmConf: string;
  readonly dir: string;
  /** A new key pair in the token: its CKA_ID and SubjectPublicKeyInfo, as `openSigner` takes them. */
  generateKey(algorithm: KeyAlgorithm, label?: string): Promise<{ keyId: Uint8Array; spkiDer: Uint8Array }>;
  remove(): Promise<void>;
}

/** Writes a SoftHSM configuration over an empty folder of tokens. */
async function writeSofthsmConf(dir: string): Promise<string> {
  const tokens = join(dir, 'tokens');
  await mkdir(tokens, { recursive: true, mode: 0o700 });
  const softhsmConf = join(dir, 'softhsm2.conf');
  await writeFile(softhsmConf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n`);
  return softhsmConf;
}

/** Makes a token with random PINs. */
export async function makeToken(tokenLabel = 'test-token'): Promise<TestToken> {
  const dir = await mkdtemp(join(tmpdir(), 'fleetroot-softhsm-'));
  const softhsmConf = await writeSofthsmConf(dir);
  const pin = new Secret(randomBytes(12).toString('hex'));
  const soPin = new Secret(randomBytes(12).toString('hex'));
  const admin = await startTokenProcess({ softhsmConf });
  try {
    await admin.initToken({ module: softhsmModule, label: tokenLabel, soPin, pin });
  } finally {
    await admin.close();
  }
  return {
    module: softhsmModule, tokenLabel, pin, soPin, softhsmConf, dir,
    generateKey: async (algorithm, label = algorithm) => {
      const process = await startTokenProcess({ softhsmConf });
      try {
        const token = await process.open({ module: softhsmModule, tokenLabel, pin });
        const keyId = new Uint8Array(randomBytes(20));
        return { keyId, spkiDer: await token.generateKeyPair({ algorithm, label, keyId }) };
      } finally {
        await process.close();
      }
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
