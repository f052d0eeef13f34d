import { isPkiError, type ErrorCode, type Retry } from '@fleetroot/core';

/** How often a job is tried before it counts as failed; the worker then finds its work in the ledger again. */
export const MAX_ATTEMPTS = 20;

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * Milliseconds to wait after the `attempt`-th failure (from 1): doubling from half a second up to 30 s, of which the
 * upper half is drawn by `random` (0 to 1), so that what failed together does not come back together.
 */
export function retryDelayMs(attempt: number, random: () => number = Math.random): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.round(longest / 2 + (longest / 2) * random());
}

/** What a handler's error asks for. An error that is not of the domain may pass: it is tried again. */
export function verdict(error: unknown): { readonly code: ErrorCode; readonly retry: Retry } {
  return isPkiError(error) ? { code: error.code, retry: error.retry } : { code: 'internal', retry: 'later' };
}
