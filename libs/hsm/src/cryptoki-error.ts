import { isPkiError, PkiError } from '@fleetroot/core';

/** The PIN is wrong, locked, expired or not set: asking again would lock the token, so nobody does. */
const PIN_REFUSED = new Set([
  'CKR_PIN_INCORRECT', 'CKR_PIN_INVALID', 'CKR_PIN_LEN_RANGE', 'CKR_PIN_EXPIRED', 'CKR_PIN_LOCKED',
  'CKR_USER_PIN_NOT_INITIALIZED',
]);

/** The HSM or the way to it is lost: what C_Login answers with these says nothing of the PIN. */
const LOST = new Set([
  'CKR_GENERAL_ERROR', 'CKR_FUNCTION_FAILED', 'CKR_FUNCTION_CANCELED', 'CKR_HOST_MEMORY', 'CKR_DEVICE_ERROR', 'CKR_DEVICE_MEMORY',
  'CKR_DEVICE_REMOVED', 'CKR_TOKEN_NOT_PRESENT', 'CKR_TOKEN_NOT_RECOGNIZED', 'CKR_SESSION_HANDLE_INVALID', 'CKR_SESSION_CLOSED',
  'CKR_SLOT_ID_INVALID', 'CKR_CRYPTOKI_NOT_INITIALIZED', 'CKR_OPERATION_ACTIVE', 'CKR_MUTEX_BAD', 'CKR_MUTEX_NOT_LOCKED',
]);

/** The key or the token cannot do this; another session would not help. */
const NOT_ABLE = new Set([
  'CKR_MECHANISM_INVALID', 'CKR_MECHANISM_PARAM_INVALID', 'CKR_KEY_TYPE_INCONSISTENT', 'CKR_KEY_FUNCTION_NOT_PERMITTED',
  'CKR_KEY_SIZE_RANGE', 'CKR_CURVE_NOT_SUPPORTED', 'CKR_DOMAIN_PARAMS_INVALID',
]);

/** Errors that are of one key: the session works, and so do the others. */
export const isFaultOfKey = ({ code }: PkiError): boolean =>
  code === 'hsm.key-not-found' || code === 'hsm.key-mismatch' || code === 'hsm.mechanism-missing';

/** The name of the return value (`CKR_DEVICE_ERROR`), or undefined where the error is not of the library. */
export function returnValue(error: unknown): string | undefined {
  return error instanceof Error ? /\bCKR_[A-Z0-9_]+/.exec(error.message)?.[0] : undefined;
}

/**
 * What a failed C_Login means. Vendors have values of their own for a PIN that they do not take (YubiHSM 2 says
 * CKR_ARGUMENTS_BAD for one of the wrong length): all but a lost HSM counts as a refusal, for a PIN given twice may lock.
 */
export function fromLogin(error: unknown): PkiError {
  const value = returnValue(error);
  if (value === undefined || LOST.has(value) || PIN_REFUSED.has(value)) return fromCryptoki(error, 'logging in to the token');
  return new PkiError('hsm.pin-incorrect', `logging in to the token: ${value}. It is not tried again, for the token might lock: check PIN file and user`, { cause: error });
}

/**
 * What a failed call to the library means to us. Every return value that says neither "wrong PIN" nor "cannot" counts
 * as a lost session: handles do not heal by themselves, and a new session tells what is really the matter.
 */
export function fromCryptoki(error: unknown, doing: string): PkiError {
  if (isPkiError(error)) return error;
  const value = returnValue(error);
  const name = value ?? (error instanceof Error ? error.message : 'an unknown error');
  if (value !== undefined && PIN_REFUSED.has(value)) {
    return new PkiError('hsm.pin-incorrect', `${doing}: ${name}. It is not tried again, for the token would lock: check the PIN file`, { cause: error });
  }
  if (value !== undefined && NOT_ABLE.has(value)) {
    return new PkiError('hsm.mechanism-missing', `${doing}: ${name}. The token or the key cannot do this`, { cause: error });
  }
  return new PkiError('hsm.unavailable', `${doing}: ${name}`, { cause: error });
}
