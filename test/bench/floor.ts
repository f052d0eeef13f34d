// The floor under issuance: P processes that only verify P-256 requests and sign in the HSM, nothing else.
import { fork } from 'node:child_process';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pkcs11 from 'pkcs11js';
import { processorSeconds } from './processor-time.ts';
import { rawVerification } from './requests.ts';

interface FloorTask {
  readonly requests: readonly string[];
  readonly module: string;
  readonly pinFile: string;
  readonly tokenLabel: string;
  readonly rounds: number;
}

export interface Floor {
  /** Verified and signed requests a second of all processes together, by the clock. */
  readonly perSecond: number;
  /** Microseconds of processor time for one: where other work runs beside it, the clock's rate falls and this hardly moves. */
  readonly cpuMicros: number;
}

interface WorkerFigures {
  readonly count: number;
  readonly cpuMicros: number;
}

export const meanFloor = (floors: readonly Floor[]): Floor => ({
  perSecond: floors.reduce((sum, { perSecond }) => sum + perSecond, 0) / floors.length,
  cpuMicros: floors.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0) / floors.length,
});

export async function measureFloor(processes: number, task: FloorTask, softhsmConf: string): Promise<Floor> {
  const workers = Array.from({ length: processes }, () =>
    fork(fileURLToPath(import.meta.url), ['floor-worker'], { env: { PATH: process.env['PATH'], SOFTHSM2_CONF: softhsmConf }, serialization: 'advanced' }));
  const answer = (worker: (typeof workers)[number]): Promise<WorkerFigures> =>
    new Promise((resolve, reject) => {
      worker.once('message', (message) => resolve(message as WorkerFigures));
      worker.once('exit', (code) => reject(new Error(`a floor process ended with ${code}`)));
    });
  const ready = workers.map(answer);
  for (const worker of workers) worker.send(task);
  await Promise.all(ready);
  const began = performance.now();
  const done = workers.map(answer);
  for (const worker of workers) worker.send('go');
  const figures = await Promise.all(done);
  const seconds = (performance.now() - began) / 1000;
  for (const worker of workers) worker.kill();
  const count = figures.reduce((sum, one) => sum + one.count, 0);
  return { perSecond: count / seconds, cpuMicros: figures.reduce((sum, one) => sum + one.cpuMicros, 0) / count };
}

function runWorker(): void {
  process.once('message', (message) => {
    const task = message as FloorTask;
    const requests = task.requests.map((csr) => rawVerification(new Uint8Array(Buffer.from(csr, 'base64'))));
    const { lib, session, key } = openKey(task);
    process.once('message', () => {
      let count = 0;
      const before = process.cpuUsage();
      const signature = Buffer.alloc(64);
      for (let round = 0; round < task.rounds; round++) {
        for (const { info, spki, signature: proof } of requests) {
          const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
          if (!verify('sha256', info, publicKey, proof)) throw new Error('a request does not verify');
          lib.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key);
          lib.C_Sign(session, createHash('sha256').update(info).digest(), signature);
          count++;
        }
      }
      process.send?.({ count, cpuMicros: processorSeconds(before) * 1e6 });
    });
    process.send?.({ count: 0, cpuMicros: 0 });
  });
}

interface OpenKey {
  readonly lib: pkcs11.PKCS11;
  readonly session: pkcs11.Handle;
  readonly key: pkcs11.Handle;
}

const ATTEMPTS = 20;

/**
 * SoftHSM leaves out a token whose file another process writes just then, or fails with CKR_GENERAL_ERROR: it is asked
 * again, but never twice with a PIN that it has refused.
 */
function openKey(task: FloorTask): OpenKey {
  const lib = new pkcs11.PKCS11();
  lib.load(task.module);
  for (let attempt = 1; ; attempt++) {
    let initialised = false;
    try {
      lib.C_Initialize();
      initialised = true;
      return makeKey(lib, task);
    } catch (error) {
      if (initialised) lib.C_Finalize();
      if (attempt === ATTEMPTS || (error as Error).message.includes('CKR_PIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
}

/** The fastest key there is: a P-256 session key of its own. */
function makeKey(lib: pkcs11.PKCS11, task: FloorTask): OpenKey {
  const slot = lib.C_GetSlotList(true).find((id) => lib.C_GetTokenInfo(id).label.trim() === task.tokenLabel);
  if (slot === undefined) throw new Error(`no token ${task.tokenLabel}`);
  const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
  lib.C_Login(session, pkcs11.CKU_USER, readFileSync(task.pinFile, 'utf8').trim());
  const { privateKey } = lib.C_GenerateKeyPair(
    session,
    { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
    [{ type: pkcs11.CKA_EC_PARAMS, value: Buffer.from('06082a8648ce3d030107', 'hex') }, { type: pkcs11.CKA_TOKEN, value: false }],
    [{ type: pkcs11.CKA_TOKEN, value: false }, { type: pkcs11.CKA_SIGN, value: true }],
  );
  return { lib, session, key: privateKey };
}

if (process.argv[2] === 'floor-worker') runWorker();
