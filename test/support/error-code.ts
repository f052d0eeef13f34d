import { isPkiError, type PkiError } from '@fleetroot/core';

/** The PkiError that a call throws; undefined when it throws nothing. Any other error passes through. */
export function pkiError(run: () => unknown): PkiError | undefined {
  try {
    run();
  } catch (error) {
    if (isPkiError(error)) return error;
    throw error;
  }
  return undefined;
}

export const errorCode = (run: () => unknown): string | undefined => pkiError(run)?.code;
