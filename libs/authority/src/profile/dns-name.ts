import { PkiError } from '@fleetroot/core';

/**
 * A label of letters, digits and inner hyphens, 63 at most: the "preferred name syntax" that RFC 5280 section 4.2.1.6
 * asks of a dNSName.
 */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_LENGTH = 253;

/**
 * A DNS name for a certificate, in lower case (its case has no significance, RFC 5280 section 4.2.1.6). A single label
 * is allowed: names inside a plant have no domain.
 * @throws PkiError `request.name-refused` that says which rule the name breaks
 */
export function dnsName(text: string, rules: { readonly wildcards: boolean }): string {
  const refuse = (why: string): never => {
    throw new PkiError('request.name-refused', `a DNS name of the request ${why}`, { data: { field: 'dnsNames' } });
  };
  const name = text.toLowerCase();
  if (name.length === 0 || name.length > MAX_LENGTH) refuse(`must have 1 to ${MAX_LENGTH} characters`);
  const labels = name.split('.');
  if (labels[0] === '*') {
    if (!rules.wildcards) refuse('is a wildcard, which the profile does not allow');
    labels.shift();
    if (labels.length < 2) refuse('is a wildcard above a whole domain');
  }
  for (const label of labels) {
    if (!LABEL.test(label)) refuse('must be labels of 1 to 63 letters, digits and inner hyphens, with single dots between');
    // Such labels are reserved; "xn--" begins an internationalised one.
    if (label.slice(2, 4) === '--' && !label.startsWith('xn--')) refuse('has a label with "--" in places 3 and 4, which is reserved');
  }
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) refuse('ends in a number, as an IP address does');
  return name;
}
