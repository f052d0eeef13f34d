import { isPkiError, isVin } from '@fleetroot/core';

/** Words that no name of a logged field may hold; `caTokenPin`, `x-auth-token` and `CSR_PEM` are caught by their words. */
const FORBIDDEN_WORDS = new Set([
  'pin', 'pins', 'token', 'tokens', 'authorization', 'password', 'passphrase', 'csr', 'csrs', 'vin', 'vins', 'secret',
  'secrets', 'cookie', 'body',
]);
/** The same run together with what stands before it: `accesstoken`, `dbpassword`. */
const FORBIDDEN_ENDING = /(?:token|authorization|password|passphrase|secret|cookie)s?$/;
const WORD_BORDER = /[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/;
const MAX_DEPTH = 8;
const MAX_ENTRIES = 100;

/** True for a field that must not be logged, whatever its value. */
export function isForbiddenKey(key: string): boolean {
  return FORBIDDEN_ENDING.test(key.toLowerCase())
    || key.split(WORD_BORDER).some((word) => FORBIDDEN_WORDS.has(word.toLowerCase()));
}

/**
 * A copy that may be logged: forbidden fields are gone at every depth, octets show their number only, objects of a class
 * their name only, errors what `describeError` keeps. Deep, wide and cyclic values are cut.
 */
export function redact(value: unknown): unknown {
  return redactAt(value, 0, new Set());
}

function redactAt(value: unknown, depth: number, above: ReadonlySet<object>): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'function' || typeof value === 'symbol') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return describeErrorAt(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} octets]`;
  if (depth >= MAX_DEPTH || above.has(value)) return '[cut]';
  const path = new Set(above).add(value);
  if ('toJSON' in value && typeof value.toJSON === 'function') return redactAt(value.toJSON(), depth + 1, path);
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((entry) => redactAt(entry, depth + 1, path));
  if (!isPlain(value)) return `[${value.constructor.name}]`;
  return redactFields(value, depth, path);
}

/** Objects of a class are not opened: a request or a connection holds more than its logger knows. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || value instanceof Map;
}

function redactFields(value: object, depth: number, path: ReadonlySet<object>): Record<string, unknown> {
  const fields = value instanceof Map ? [...value].map(([key, field]) => [String(key), field] as const) : Object.entries(value);
  const kept: Record<string, unknown> = {};
  for (const [key, field] of fields.slice(0, MAX_ENTRIES)) {
    if (!isForbiddenKey(key)) kept[key] = redactAt(field, depth + 1, path);
  }
  return kept;
}

/**
 * Text without what may hide in a message that another library made: our bearer tokens, the user and password of a URL,
 * PEM blocks, VINs.
 */
export function redactText(text: string): string {
  return text
    .replaceAll(/\bfrt_[A-Za-z0-9_-]{20,}/g, '[token]')
    .replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1[redacted]@')
    .replaceAll(/-----BEGIN [\s\S]*?(?:-----END [A-Z0-9 ]*-----|$)/g, '[PEM]')
    .replaceAll(/\b[A-HJ-NPR-Z0-9]{17}\b/g, (word) => (isVin(word) ? '[VIN]' : word));
}

/**
 * What a log may tell of an error: code, message, stack and causes. `data` is shown of a PkiError only, which promises
 * that it is safe; other libraries hang rows, parameters and whole requests on their errors.
 */
export function describeError(error: unknown): Record<string, unknown> {
  return describeErrorAt(error, 0);
}

function describeErrorAt(error: unknown, depth: number): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: typeof error === 'string' ? redactText(error) : typeof error };
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    type: error.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    message: redactText(error.message),
    ...(isPkiError(error) && Object.keys(error.data).length > 0 ? { data: redactFields(error.data, depth, new Set()) } : {}),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(depth >= MAX_DEPTH || error.cause === undefined ? {} : { cause: describeErrorAt(error.cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < MAX_DEPTH
      ? { errors: error.errors.slice(0, MAX_ENTRIES).map((one) => describeErrorAt(one, depth + 1)) } : {}),
  };
}
