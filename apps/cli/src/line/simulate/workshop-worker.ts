// A thread of its own: making keys and checking certificates must not delay the clock by which the line is measured.
import { X509Certificate } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { equalBytes } from '@fleetroot/core';
import { ecuRequest } from '../ecu-request.ts';
import { Truststore } from '../truststore.ts';
import type { PlannedEcu } from '../vehicles.ts';

export interface MakeTask {
  readonly kind: 'make';
  readonly id: number;
  readonly ecus: readonly PlannedEcu[];
}

export interface CheckTask {
  readonly kind: 'check';
  readonly id: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  /** DER, or PEM. */
  readonly certificate: Uint8Array | string;
}

/** A request that is ready to be sent. */
export interface MadeRequest {
  /** The line of a batch. */
  readonly line: string;
  readonly spkiDer: Uint8Array;
}

export type Done =
  | { readonly id: number; readonly made: readonly MadeRequest[] }
  /** undefined: it is good. */
  | { readonly id: number; readonly fault: string | undefined };

const truststore = new Truststore(workerData as string);

async function work(task: MakeTask | CheckTask): Promise<Done> {
  if (task.kind === 'check') return { id: task.id, fault: faultOf(task) };
  const made: MadeRequest[] = [];
  for (const ecu of task.ecus) {
    const { line, spkiDer } = await ecuRequest(ecu);
    made.push({ line, spkiDer });
  }
  return { id: task.id, made };
}

/** As the line looks at a certificate before it lets the ECU go: its key, and a CA of this installation. */
function faultOf({ spkiDer, certificate }: CheckTask): string | undefined {
  try {
    const read = new X509Certificate(certificate);
    if (!equalBytes(read.publicKey.export({ format: 'der', type: 'spki' }), spkiDer)) return 'check.other-key';
    const now = new Date();
    if (read.validFromDate > now || read.validToDate < now) return 'check.not-valid-now';
    truststore.issuerOf(read);
    return undefined;
  } catch {
    return 'check.not-trusted';
  }
}

async function answer(task: MakeTask | CheckTask): Promise<void> {
  const done = await work(task);
  // The rule means windows; threads have no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(done);
}

parentPort?.on('message', (task: MakeTask | CheckTask) => void answer(task));
