import { isPkiError, PkiError } from '@fleetroot/core';

/** What Node and pg say where no connection can be had or one broke; pg gives some of these only as text. */
const SOCKET = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);
const TEXT = /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Cannot use a pool after calling end|Client was closed|not queryable/i;
/**
 * SQLSTATEs (PostgreSQL, appendix A) after which the same call may succeed: 08 connection, 28 a password that was changed
 * (each start of the embedded PostgreSQL does: a process of the start before is on its way out, and the request is
 * good), 40 rollback, 53 resources (disk full, too many connections), 57 intervention (shutdown, statement timeout),
 * 55P03 lock timeout, 58 system.
 */
const RETRYABLE = /^(?:08|28|40|53|57|58)...$|^55P03$|^25P0[34]$/;
/** Of the function `require_row`. */
const STALE = 'FR001';
/** Of the function `require_unblocked`. */
const KEY_BLOCKED = 'FR002';
const PRISMA_CONNECTION = new Set(['P1000', 'P1001', 'P1002', 'P1008', 'P1011', 'P1017', 'P2024', 'P2028', 'P2034', 'P2037']);

interface Faces {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cause?: unknown;
  readonly meta?: { readonly driverAdapterError?: unknown };
  readonly originalCode?: unknown;
  readonly kind?: unknown;
  readonly errors?: readonly unknown[];
}

/**
 * The PkiError for what pg or Prisma threw: `store.unavailable` where the database is away, busy or full, so that the
 * call may be repeated; `store.migration` where a table or column is missing; else `internal`. The message never holds a value.
 */
export function storeError(error: unknown): PkiError {
  if (isPkiError(error)) return error;
  const state = sqlState(error);
  if (state === STALE) return new PkiError('store.stale-fence', undefined, { cause: error });
  // 42P01: no such table; 42703: no such column.
  if (state === '42P01' || state === '42703') {
    return new PkiError('store.migration', `the database lacks a ${state === '42P01' ? 'table' : 'column'}: migrate it first (fleetroot migrate)`, { cause: error });
  }
  if (isUnavailable(error)) {
    return new PkiError('store.unavailable', `the database is not available${state === undefined ? '' : ` (SQLSTATE ${state})`}`, { cause: error });
  }
  return new PkiError('internal', `the database refused a statement${state === undefined ? '' : ` (SQLSTATE ${state})`}`, { cause: error });
}

function isUnavailable(error: unknown): boolean {
  return chain(error).some(({ code, originalCode, message, kind }) => {
    for (const known of [code, originalCode]) {
      if (typeof known === 'string' && (SOCKET.has(known) || RETRYABLE.test(known) || PRISMA_CONNECTION.has(known))) return true;
    }
    if (kind === 'DatabaseNotReachable' || kind === 'ConnectionClosed' || kind === 'TooManyConnections' || kind === 'SocketTimeout') return true;
    return typeof message === 'string' && TEXT.test(message);
  });
}

/** SQLSTATE of a pg error, also inside one of Prisma's. */
export function sqlState(error: unknown): string | undefined {
  for (const { code, originalCode } of chain(error)) {
    for (const known of [originalCode, code]) {
      if (typeof known === 'string' && /^[0-9A-Z]{5}$/.test(known) && !known.startsWith('P') && !SOCKET.has(known)) return known;
    }
  }
  return undefined;
}

/** Whether `require_unblocked` refused a key. */
export const isBlockedKey = (error: unknown): boolean => sqlState(error) === KEY_BLOCKED;

/** Whether a unique index refused the row: by pg's SQLSTATE or by Prisma's code. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === '23505' || chain(error).some(({ code }) => code === 'P2002');
}

/** The error and what lies under it: causes, Prisma's driver error, the parts of an AggregateError. */
function chain(error: unknown): Faces[] {
  const found: Faces[] = [];
  const open = [error];
  while (open.length > 0 && found.length < 20) {
    const next = open.shift();
    if (typeof next !== 'object' || next === null) continue;
    const faces = next as Faces;
    found.push(faces);
    open.push(faces.cause, faces.meta?.driverAdapterError, ...(faces.errors ?? []));
  }
  return found;
}
