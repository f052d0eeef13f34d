// The floor under a signature: C_SignInit and C_Sign in a loop, with nothing around it.
import { fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import pkcs11 from 'pkcs11js';

interface RawTask {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyId: Uint8Array;
  readonly rsa: boolean;
  /** By a session copy of the key, as our signer does where it may; else by the token's object. */
  readonly sessionCopy: boolean;
}

export interface RawLoop {
  /** So many signatures; how many a second. */
  sign(count: number): number;
  close(): void;
}

/** DER of the DigestInfo of PKCS #1 version 1.5 for SHA-256, up to the digest. */
const DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** SOFTHSM2_CONF of this process names the token. */
export function rawLoop(task: RawTask): RawLoop {
  const lib = new pkcs11.PKCS11();
  lib.load(task.module);
  try {
    lib.C_Initialize();
  } catch (error) {
    if (!(error as Error).message.includes('CKR_CRYPTOKI_ALREADY_INITIALIZED')) throw error;
  }
  const slot = lib.C_GetSlotList(true).find((id) => lib.C_GetTokenInfo(id).label.trim() === task.tokenLabel);
  if (slot === undefined) throw new Error(`no token ${task.tokenLabel}`);
  const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
  try {
    lib.C_Login(session, pkcs11.CKU_USER, task.pin);
  } catch (error) {
    if (!(error as Error).message.includes('CKR_USER_ALREADY_LOGGED_IN')) throw error;
  }
  lib.C_FindObjectsInit(session, [
    { type: pkcs11.CKA_TOKEN, value: true }, { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY }, { type: pkcs11.CKA_ID, value: Buffer.from(task.keyId) },
  ]);
  const found = lib.C_FindObjects(session);
  lib.C_FindObjectsFinal(session);
  if (found === null) throw new Error('the token does not have the key');
  const key = task.sessionCopy ? lib.C_CopyObject(session, found, [{ type: pkcs11.CKA_TOKEN, value: false }]) : found;
  const digest = createHash('sha256').update(randomBytes(32)).digest();
  const input = task.rsa ? Buffer.concat([DIGEST_INFO, digest]) : digest;
  const mechanism = { mechanism: task.rsa ? pkcs11.CKM_RSA_PKCS : pkcs11.CKM_ECDSA };
  const signature = Buffer.alloc(512);
  return {
    sign: (count) => {
      const began = performance.now();
      for (let i = 0; i < count; i++) {
        lib.C_SignInit(session, mechanism, key);
        lib.C_Sign(session, input, signature);
      }
      return (count * 1000) / (performance.now() - began);
    },
    close: () => lib.C_CloseSession(session),
  };
}

export interface RawProcesses {
  /** So many signatures in each process, all at once; how many a second together. */
  sign(each: number): Promise<number>;
  close(): void;
}

/** The same loop in processes of their own. */
export async function rawProcesses(count: number, task: RawTask): Promise<RawProcesses> {
  const processes = Array.from({ length: count }, () => fork(fileURLToPath(import.meta.url), ['raw-signatures'], { serialization: 'advanced' }));
  const all = (message: RawTask | number): Promise<unknown> => Promise.all(processes.map((one) => new Promise<void>((resolve, reject) => {
    const ended = (status: number | null): void => reject(new Error(`a process of the floor ended with ${status}`));
    one.once('exit', ended);
    one.once('message', () => {
      one.off('exit', ended);
      resolve();
    });
    one.send(message);
  })));
  await all(task);
  return {
    sign: async (each) => {
      const began = performance.now();
      await all(each);
      return (count * each * 1000) / (performance.now() - began);
    },
    close: () => processes.forEach((one) => one.kill()),
  };
}

if (process.argv[2] === 'raw-signatures') {
  let loop: RawLoop | undefined;
  process.on('message', (message: RawTask | number) => {
    if (typeof message === 'number') loop?.sign(message);
    else loop = rawLoop(message);
    process.send?.('done');
  });
}
