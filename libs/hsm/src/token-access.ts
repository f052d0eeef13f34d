import { isPkiError, PkiError } from '@fleetroot/core';
import pkcs11, { type Attribute, type Handle, type PKCS11 } from 'pkcs11js';
import { fromLogin, returnValue } from './cryptoki-error.ts';

/** Labels are padded with blanks, by some software with zeros. */
const unpadded = (label: string): string => label.replace(/\0.*$/s, '').trimEnd();

/**
 * The slot whose token has this label. A slot that does not answer is another's trouble, unless ours is not found.
 * @throws PkiError `hsm.token-not-found` if none or several have it; what the slot said that did not answer
 */
export function findSlot(lib: PKCS11, label: string): Handle {
  let failure: { readonly error: unknown } | undefined;
  const found = lib.C_GetSlotList(true).filter((slot) => {
    try {
      const info = lib.C_GetTokenInfo(slot);
      return (info.flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0 && unpadded(info.label) === label;
    } catch (error) {
      failure ??= { error };
      return false;
    }
  });
  const [slot] = found;
  if (slot === undefined && failure !== undefined) throw failure.error;
  if (slot === undefined || found.length > 1) {
    const count = found.length === 0 ? 'no token' : `${found.length} tokens`;
    throw new PkiError('hsm.token-not-found', `the HSM shows ${count} with the label "${label}": check the label and the HSM's own configuration (for SoftHSM, SOFTHSM2_CONF)`);
  }
  return slot;
}

/** How often a token is looked for, and the pause in between, in milliseconds. */
const LOOKS = 4;
const PAUSE_MS = 150;

/**
 * Does what begins with a look for a token, on a library that is initialised anew each time. A token that is not shown is
 * believed to be missing at the fourth look only: SoftHSM does not show one for a moment while another process writes
 * to it. Blocks this thread in between.
 */
export function lookAgain<T>(work: () => T): T {
  for (let look = 1; ; look++) {
    try {
      return work();
    } catch (error) {
      if (look === LOOKS || !isPkiError(error) || error.code !== 'hsm.token-not-found') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

/**
 * Logs the application in as the user, once. A token that says it is locked, or that it will be after one more wrong
 * PIN, is not asked at all: the last try is left to a person.
 * @throws PkiError `hsm.pin-incorrect`, after which nobody may call this again with the same PIN
 */
export function login(lib: PKCS11, slot: Handle, session: Handle, pin: string): void {
  const { flags } = lib.C_GetTokenInfo(slot);
  if ((flags & pkcs11.CKF_USER_PIN_LOCKED) !== 0) {
    throw new PkiError('hsm.pin-incorrect', 'the user PIN of the token is locked: unlock it with the SO PIN');
  }
  if ((flags & pkcs11.CKF_USER_PIN_FINAL_TRY) !== 0) {
    throw new PkiError('hsm.pin-incorrect', 'the token says that one more wrong PIN locks it (CKF_USER_PIN_FINAL_TRY), so none was tried: '
      + 'check the PIN file, log in once by hand with the HSM\'s own tool, which sets the count back, and start again');
  }
  try {
    lib.C_Login(session, pkcs11.CKU_USER, pin);
  } catch (error) {
    if (returnValue(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw fromLogin(error);
  }
}

/** All objects of the token (not of a session) that match. */
export function findTokenObjects(lib: PKCS11, session: Handle, template: readonly Attribute[]): Handle[] {
  lib.C_FindObjectsInit(session, [{ type: pkcs11.CKA_TOKEN, value: true }, ...template]);
  try {
    const found: Handle[] = [];
    for (;;) {
      const handle = lib.C_FindObjects(session);
      if (handle === null) return found;
      found.push(handle);
    }
  } finally {
    lib.C_FindObjectsFinal(session);
  }
}

/** A boolean attribute; undefined where the token does not tell. */
export function flag(lib: PKCS11, session: Handle, object: Handle, type: number): boolean | undefined {
  try {
    const value = lib.C_GetAttributeValue(session, object, [{ type }])[0]?.value;
    return value === undefined || value.length === 0 ? undefined : value[0] !== 0;
  } catch (error) {
    const name = returnValue(error);
    if (name === 'CKR_ATTRIBUTE_TYPE_INVALID' || name === 'CKR_ATTRIBUTE_SENSITIVE') return undefined;
    throw error;
  }
}
