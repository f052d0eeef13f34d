import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { PkiError } from '@fleetroot/core';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

/** Answers what Node could not parse as HTTP, as a problem, and closes the connection. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (socket.writable) socket.write(answer(error.code));
  socket.destroy();
}

function answer(code: string | undefined): string {
  const late = code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const error = late
    ? new PkiError('http.timeout', 'the request did not arrive in time')
    : new PkiError('http.body-invalid', code === 'HPE_HEADER_OVERFLOW' ? 'the header is too large' : 'this is not HTTP/1.1');
  const problem = problemOf(error, randomUUID(), '');
  // RFC 6585: 431 Request Header Fields Too Large.
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : problem.status;
  const body = JSON.stringify({ ...problem.body, status });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, `content-type: ${PROBLEM_TYPE}`, 'cache-control: no-store',
    `content-length: ${Buffer.byteLength(body)}`, 'connection: close', '', body,
  ].join('\r\n');
}
