import { PkiError } from '@fleetroot/core';

const PAIR = /^([a-z]+)=([0-9]{1,3}(?:\.[0-9])?)$/;

/**
 * Shares of the HSM's signatures by purpose, in percent, from text like `line=60,crl=10`. What is left of 100 belongs to
 * nobody, and goes to whoever waits.
 * @throws PkiError `config.invalid` that names every fault: a purpose that is missing, unknown or named twice, a share
 *   that is not above 0, a sum above 100
 */
export function readShares<P extends string>(text: string, purposes: readonly P[]): Readonly<Record<P, number>> {
  const shares = new Map<string, number>();
  const faults: string[] = [];
  for (const pair of text.split(',').map((part) => part.trim())) {
    const [, purpose = '', digits] = PAIR.exec(pair) ?? [];
    const share = Number(digits);
    if (digits === undefined) faults.push(`'${pair}' is not PURPOSE=PERCENT`);
    else if (!(purposes as readonly string[]).includes(purpose)) faults.push(`there is no purpose ${purpose}`);
    else if (shares.has(purpose)) faults.push(`${purpose} is named twice`);
    else if (share === 0) faults.push(`${purpose} has no share: it would wait for ever`);
    if (!shares.has(purpose)) shares.set(purpose, share);
  }
  const missing = purposes.filter((purpose) => !shares.has(purpose));
  if (missing.length > 0) faults.push(`${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing`);
  const sum = [...shares.values()].reduce((a, b) => a + b, 0);
  if (faults.length === 0 && sum > 100) faults.push(`the shares add up to ${sum} percent`);
  if (faults.length > 0) {
    throw new PkiError('config.invalid', `the shares of the HSM are not valid: ${faults.join('; ')}. Give each of ${purposes.join(', ')} a share above 0, together 100 percent at most`);
  }
  return Object.fromEntries(shares) as Record<P, number>;
}
