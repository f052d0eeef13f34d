import { PkiError } from '@fleetroot/core';

/** 1 to 200 visible characters of ASCII. */
const FORM = /^[\x21-\x7e]{1,200}$/;

/** @throws PkiError `idempotency.key-invalid` where it is missing or not of the form */
export function idempotencyKey(header: string | undefined): string {
  if (header === undefined || !FORM.test(header)) {
    throw new PkiError('idempotency.key-invalid', 'send an Idempotency-Key of 1 to 200 visible ASCII characters, a new one for each batch');
  }
  return header;
}
