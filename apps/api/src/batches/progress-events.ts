import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchProgress } from '@fleetroot/authority';
import { batchBody } from './batch-body.ts';

const POLL_MS = 500;
/** Proxies cut a connection on which nothing moves. */
const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events: `progress` at once and at each change, `done` at the end. `signal` ends it early.
 * @param progress the batch as it is now
 */
export async function* progressEvents(progress: () => Promise<BatchProgress>, signal: AbortSignal): AsyncGenerator<string> {
  let said = '';
  let quietSince = performance.now();
  while (!signal.aborted) {
    const batch = await progress();
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
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}
