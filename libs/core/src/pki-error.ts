import { errorCatalogue, type ErrorCode, type ErrorKind, type Retry } from './error-catalogue.ts';

export interface PkiErrorOptions {
  /** What caused it; kept for the log of the process, never sent to a caller. */
  readonly cause?: unknown;
  /** JSON-safe facts for the caller: offset, field, limit, item. Never a secret, a VIN or a part of a request. */
  readonly data?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * The one error of the domain. `code` is stable and part of the public interface; `message` tells the operator what
 * happened and what to do next.
 */
export class PkiError extends Error {
  override readonly name = 'PkiError';
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorCode, message?: string, options: PkiErrorOptions = {}) {
    super(message ?? errorCatalogue[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.data = options.data ?? {};
  }

  get kind(): ErrorKind {
    return errorCatalogue[this.code].kind;
  }

  /** `never`: the same call fails again; `later`: it may succeed unchanged; `stop`: the process must end. */
  get retry(): Retry {
    return errorCatalogue[this.code].retry;
  }
}

export function isPkiError(error: unknown): error is PkiError {
  return error instanceof PkiError;
}
