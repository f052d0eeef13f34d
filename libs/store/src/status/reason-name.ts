import { type RevocationReason, revocationReasons } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';

const names = new Map(Object.entries(revocationReasons).map(([name, code]) => [code as number, name as RevocationReason]));

/** @throws PkiError `internal` for a code that RFC 5280 section 5.3.1 does not know */
export function reasonName(code: number): RevocationReason {
  const name = names.get(code);
  if (name === undefined) throw new PkiError('internal', `the ledger holds an unknown revocation reason (${code})`);
  return name;
}
