import { setTimeout as sleep } from 'node:timers/promises';
import { type Approval, countApprovals, describeApprovals, requireApprovals, type ToApprove } from '@fleetroot/authority';
import { isPkiError } from '@fleetroot/core';
import { readApprovals } from './approvals-folder.ts';

const POLL_MS = 500;

export interface WaitOptions {
  /** The folder of approvals. */
  readonly approvals: string;
  readonly by: string;
  /** undefined: as long as it takes. 0: not at all. */
  readonly seconds: number | undefined;
  /** Aborts the wait. */
  readonly signal: AbortSignal;
  /** Told once for each change. */
  readonly say: (line: string) => void;
}

/**
 * The approvals of the officers, once they are enough.
 * @throws PkiError `ceremony.not-approved` where they are not in time, or the wait was broken off
 */
export async function awaitApprovals(toApprove: ToApprove, { approvals: folder, by, seconds, signal, say }: WaitOptions): Promise<readonly Approval[]> {
  const deadline = seconds === undefined ? Infinity : performance.now() + seconds * 1000;
  let told = '';
  for (;;) {
    const { approvals, remarks } = readApprovals(folder, toApprove.sha256);
    const count = countApprovals(toApprove, approvals, by);
    const lines = [describeApprovals(count), ...[...remarks, ...count.remarks].map((remark) => `not counted: ${remark}`)];
    if (toApprove.approvals > 0 && lines.join('\n') !== told) {
      told = lines.join('\n');
      for (const line of lines) say(line);
    }
    try {
      return requireApprovals(toApprove, approvals, by);
    } catch (error) {
      if (!isPkiError(error) || error.code !== 'ceremony.not-approved' || signal.aborted || performance.now() >= deadline) throw error;
    }
    await sleep(Math.min(POLL_MS, Math.max(0, deadline - performance.now())), undefined, { signal }).catch(() => undefined);
  }
}
