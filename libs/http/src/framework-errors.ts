import { HttpException } from '@nestjs/common';
import { type ErrorCode, isPkiError, PkiError } from '@fleetroot/core';

/** What Fastify says before or around a handler, in our words. */
const fastifyCodes: Readonly<Record<string, { code: ErrorCode; detail: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'http.body-too-large', detail: 'the body is longer than this resource accepts' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: 'http.media-type', detail: 'the Content-Type is missing or not one that this resource accepts' },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: 'http.body-invalid', detail: 'the body is not as long as its Content-Length' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'http.body-invalid', detail: 'the body is empty; JSON is expected' },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'http.body-invalid', detail: 'the body is not JSON' },
  FST_ERR_HANDLER_TIMEOUT: { code: 'http.timeout', detail: 'the request was not received and answered in time' },
  FST_ERR_BAD_URL: { code: 'http.not-found', detail: 'the URL is not well-formed' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'http.not-found', detail: 'a part of the URL is too long' },
};

/** Any error as a PkiError; undefined where it is none that a caller brought about: then it is `internal`. */
export function pkiErrorOf(thrown: unknown): PkiError | undefined {
  if (isPkiError(thrown)) return thrown;
  const known = fastifyCodes[codeOf(thrown)] ?? (thrown instanceof Error ? fastifyCodes[codeOf(thrown.cause)] : undefined);
  if (known !== undefined) return new PkiError(known.code, known.detail, { cause: thrown });
  const status = statusOf(thrown);
  if (status === 404) return new PkiError('http.not-found', undefined, { cause: thrown });
  // A 4xx of Fastify or Nest that has no entry of its own, such as a body cut short: its text may quote the request.
  if (status !== undefined && status >= 400 && status < 500) return new PkiError('http.body-invalid', undefined, { cause: thrown });
  return undefined;
}

function codeOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' ? value.code : '';
}

function statusOf(value: unknown): number | undefined {
  if (value instanceof HttpException) return value.getStatus();
  return value instanceof Error && 'statusCode' in value && typeof value.statusCode === 'number' ? value.statusCode : undefined;
}
