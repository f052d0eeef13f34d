import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchSummary } from '@fleetroot/authority';
import { batchBody } from './batch-body.ts';

const POLL_MS = 500;
/** A look may take this part of the time, however long its failures take to count. */
const LOOKING_SHARE = 10;
/** Proxies cut a connection on which nothing moves. */
const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events: `progress` at once and at each change, `done` at the end. `signal` ends it early.
 * @param summary the batch as it is now
 */
export async function* progressEvents(summary: () => Promise<BatchSummary>, signal: AbortSignal): AsyncGenerator<string> {
  let said = '';
  let quietSince = performance.now();
  while (!signal.aborted) {
    const asked = performance.now();
    const batch = await summary();
    const took = performance.now() - asked;
    const data = JSON.stringify(batchBody(batch));
    if (batch.state === 'done') {
      yield `event: done\ndata: ${data}\n\n`;
      return;
    }
    if (data !== said) {
      yield `event: progress\ndata: ${data}\n\n`;
      said = data;
      quietSince = performance.now();
    } else if (performance.now() - quietSince >= HEARTBEAT_MS) {
      yield ': still at work\n\n';
      quietSince = performance.now();
    }
    await sleep(Math.max(POLL_MS, took * LOOKING_SHARE), undefined, { signal }).catch(() => undefined);
  }
}
