import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { PkiError } from '@fleetroot/core';

interface Readiness {
  readonly checks?: Readonly<Record<string, { readonly ready: boolean; readonly reason?: string }>>;
}

/**
 * Waits until `/readyz` says yes, and tells `onMissing` what it still misses, each time that changes.
 * @throws PkiError `setup.failed` that names what is missing after `timeoutMs`
 */
export async function waitUntilReady(url: string, timeoutMs: number, onMissing: (what: string) => void): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (let said = ''; ; await sleep(200)) {
    const missing = await missingAt(url);
    if (missing === undefined) return;
    if (missing !== said && said !== '') onMissing(missing);
    said = missing;
    if (performance.now() > until) throw new PkiError('setup.failed', `${url} is not ready after ${timeoutMs / 1000} s: ${missing}`);
  }
}

/** What is not ready, or undefined. */
async function missingAt(url: string): Promise<string | undefined> {
  try {
    const { statusCode, body } = await request(url, { headersTimeout: 5_000, bodyTimeout: 5_000 });
    const text = await body.text();
    if (statusCode === 200) return undefined;
    const { checks = {} } = JSON.parse(text) as Readiness;
    const failed = Object.entries(checks).filter(([, check]) => !check.ready);
    return failed.map(([name, { reason }]) => (reason === undefined ? name : `${name} (${reason})`)).join(', ') || `status ${statusCode}`;
  } catch (error) {
    return `no answer (${(error as Error).message})`;
  }
}
