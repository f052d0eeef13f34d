import { setTimeout as sleep } from 'node:timers/promises';
import { errorCatalogue, type ErrorCode } from '@fleetroot/core';
import { ApiRefusal } from '../rest.ts';
import { LineError, lineStatus } from './line-error.ts';

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

export interface PatienceOptions {
  /** How long it is tried while nothing succeeds, in milliseconds. */
  readonly limitMs: number;
  /** Aborts when the operator wants to stop. */
  readonly signal: AbortSignal;
  /** What is in the way, and when it is tried again. */
  readonly tell: (trouble: string, seconds: number) => void;
}

/** Goes on trying while it is the network, or an API that asks for patience; anything else is thrown at once. */
export class Patience {
  readonly #options: PatienceOptions;
  #failures = 0;
  #since: number | undefined;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Something has succeeded: the next trouble is a new one. */
  moved(): void {
    this.#failures = 0;
    this.#since = undefined;
  }

  /** @throws LineError where it makes no sense to go on, or no longer */
  async over<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const result = await work();
        this.moved();
        return result;
      } catch (error) {
        await this.wait(error);
      }
    }
  }

  /** Waits until it may be tried again. @throws LineError as `over` */
  async wait(error: unknown): Promise<void> {
    const { limitMs, signal, tell } = this.#options;
    signal.throwIfAborted();
    if (!isPassing(error)) throw error instanceof ApiRefusal ? refused(error) : error;
    this.#since ??= performance.now();
    const trouble = describe(error);
    if (performance.now() - this.#since >= limitMs) {
      throw new LineError(lineStatus.unfinished, `${trouble}; nothing moved for ${Math.round(limitMs / 1000)} s: give the same command again to go on`, { cause: error });
    }
    const ms = delayMs(this.#failures, error instanceof ApiRefusal ? error.retryAfter : undefined, Math.random());
    this.#failures += 1;
    tell(trouble, ms / 1000);
    await sleep(ms, undefined, { signal });
  }
}

/** Doubles from half a second to half a minute, with a part left to chance so that twenty lines do not come back at once. */
export function delayMs(failures: number, retryAfter: number | undefined, chance: number): number {
  const backOff = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
  const asked = (retryAfter ?? 0) * 1000;
  return Math.round(asked > backOff ? asked + FIRST_MS * chance : backOff * (0.75 + chance / 4));
}

/** Whether the same call may succeed later, unchanged. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ApiRefusal) {
    const { status, code } = error;
    if (code !== undefined && code in errorCatalogue) return errorCatalogue[code as ErrorCode].retry === 'later';
    return status === 408 || status === 429 || status >= 500;
  }
  return networkCode(error) !== undefined;
}

/** What says that the connection, and not the work, went wrong. */
function networkCode(error: unknown, depth = 0): string | undefined {
  if (typeof error !== 'object' || error === null || depth > 4) return undefined;
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  if (typeof code === 'string' && /^(?:UND_ERR_(?:SOCKET|CONNECT_TIMEOUT|HEADERS_TIMEOUT|BODY_TIMEOUT|REQ_CONTENT_LENGTH_MISMATCH)|ECONN\w+|EPIPE|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ERR_STREAM_PREMATURE_CLOSE|HPE_\w+)$/.test(code)) {
    return code;
  }
  const inner: readonly unknown[] = [cause, ...(Array.isArray(errors) ? (errors as unknown[]) : [])];
  for (const each of inner) {
    const found = networkCode(each, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function describe(error: unknown): string {
  if (error instanceof ApiRefusal) return error.message;
  return `no connection to the API (${networkCode(error) ?? 'unknown'})`;
}

/** What the operator can do, by code; what the API said stands before it. */
const advice: Readonly<Record<string, string>> = {
  'auth.token-missing': 'name the file of a token with --token-file',
  'auth.token-invalid': 'look whether the token is one of this installation and has not ended; `fleetroot token create` makes another',
  'auth.forbidden': 'name the file of a token with such a role with --token-file',
  'profile.not-found': 'GET /v1/profiles lists them',
  'profile.forbidden': 'GET /v1/profiles lists those for this token',
  'ca.forbidden': 'leave out --ca, or name one of this principal\'s',
  'ca.not-active': 'the administrator must make the CA active, or its successor',
  'batch.not-found': 'look whether it is a batch of this installation, and of this principal',
  'batch.too-many-items': 'split the file',
  'idempotency.conflict': 'this key belongs to another batch: choose another with --key',
  'http.not-found': 'look whether --api names a Fleetroot of this version',
};

export function refused(error: ApiRefusal): LineError {
  const hint = error.code === undefined ? undefined : advice[error.code];
  return new LineError(lineStatus.refused, hint === undefined ? error.message : `${error.message} (${hint})`, {
    cause: error, ...(error.code === undefined ? {} : { code: error.code }),
  });
}
