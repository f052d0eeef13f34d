import { OCSP_MAX_OCTETS } from '@fleetroot/x509';

/** Proxies that encode what was encoded already do so once, seldom twice. */
const MAX_UNESCAPES = 3;

/**
 * The OCSPRequest in the path of a GET (RFC 6960 appendix A.1): what follows the responder's URL, as the request line
 * has it, neither decoded nor normalised; a query is no part of it. Clients and proxies write it in many ways, and each
 * of them gives what a POST of the same request holds: `+`, `/` and `=` escaped, escaped twice or not at all, a `+`
 * turned into a space, the URL-safe alphabet, padding left out, slashes in front.
 * @returns no octets where it is not base64: the answer is then malformedRequest, as for an empty POST
 */
export function decodeOcspGetPath(path: string): Uint8Array {
  let text = path;
  // Base64 takes 4 characters for 3 octets, and an escape takes 3 for one, once for each time it is escaped anew.
  if (text.length > OCSP_MAX_OCTETS * 4) return new Uint8Array(0);
  for (let unescapes = 0; text.includes('%') && unescapes < MAX_UNESCAPES; unescapes++) {
    text = text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  }
  // DER of a request begins with 0x30, and its base64 with M: a slash in front is never part of it.
  const base64 = withoutPadding(text.replace(/^\/+/, '').replace(/[ -]/g, '+').replaceAll('_', '/'));
  if (!/^[A-Za-z0-9+/]+$/.test(base64) || base64.length % 4 === 1) return new Uint8Array(0);
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

/** Without `=` at the end and slashes after it. Not by a pattern: over a long run of `=` one takes time squared. */
function withoutPadding(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end--;
  let start = end;
  while (text[start - 1] === '=') start--;
  return start < end ? text.slice(0, start) : text;
}
