import { errorCatalogue, type ErrorKind, isPkiError, PkiError } from '@fleetroot/core';

/** An error as a caller sees it: RFC 9457, application/problem+json. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string | number | boolean>>;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** Seconds after which a caller may ask again what was unavailable. */
const RETRY_AFTER = '5';

function statusOfKind(kind: ErrorKind): number {
  switch (kind) {
    case 'invalid': return 400;
    case 'unauthenticated': return 401;
    case 'forbidden': return 403;
    case 'not-found': return 404;
    case 'method': return 405;
    case 'not-acceptable': return 406;
    case 'conflict': return 409;
    case 'gone': return 410;
    case 'too-large': return 413;
    case 'media-type': return 415;
    case 'refused': return 422;
    case 'too-many': return 429;
    case 'internal': return 500;
    case 'unavailable': return 503;
    case 'timeout': return 504;
  }
}

/** The status of an error. `http.timeout` is the caller's own slowness (408); every other time-out is ours (504). */
export function statusOf(error: PkiError): number {
  return error.code === 'http.timeout' ? 408 : statusOfKind(error.kind);
}

/**
 * What a caller may know of an error. What is internal keeps its message for the log: the caller gets the title and the
 * request id, by which the log is searched. `challenge` is the scheme that a 401 asks for (RFC 9110, WWW-Authenticate).
 */
export function problemOf(thrown: unknown, requestId: string, challenge: string): Problem {
  const error = isPkiError(thrown) ? thrown : new PkiError('internal', undefined, { cause: thrown });
  const hidden = error.kind === 'internal';
  const status = statusOf(error);
  return {
    status,
    headers: headersOf(error, status, challenge),
    body: {
      // What an error adds must not replace what RFC 9457 defines: its members come first, ours last.
      ...(hidden ? {} : error.data),
      type: `urn:fleetroot:problem:${error.code}`,
      title: errorCatalogue[error.code].title,
      status,
      detail: hidden ? 'The cause is in the log of the server, under the id of this request' : error.message,
      instance: `urn:uuid:${requestId}`,
      code: error.code,
    },
  };
}

function headersOf(error: PkiError, status: number, challenge: string): Record<string, string> {
  const headers: Record<string, string> = { 'cache-control': 'no-store' };
  if (status === 401) headers['www-authenticate'] = error.code === 'auth.token-invalid' ? `${challenge}, error="invalid_token"` : challenge;
  if (status === 503 || status === 429) headers['retry-after'] = RETRY_AFTER;
  return headers;
}
