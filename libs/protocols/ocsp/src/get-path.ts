import { OCSP_MAX_OCTETS, parseOcspRequest } from '@fleetroot/x509';

/** Ways to put slashes back that are tried for one request: each costs as much as a request. */
const MAX_TRIES = 64;

/** Proxies that encode what was encoded already do so once, seldom twice. */
const MAX_UNESCAPES = 3;

/**
 * The OCSPRequest in the path of a GET (RFC 6960 appendix A.1): what follows the responder's URL, as the request line
 * has it, neither decoded nor normalised; a query is no part of it. Clients and proxies write it in many ways, and each
 * of them gives what a POST of the same request holds: `+`, `/` and `=` escaped, escaped twice or not at all, a `+`
 * turned into a space, the URL-safe alphabet, padding left out, slashes in front; two slashes in a row made one, where there
 * is one way alone to put back what is missing.
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
  if (!/^[A-Za-z0-9+/]+$/.test(base64)) return new Uint8Array(0);
  const octets = new Uint8Array(Buffer.from(base64, 'base64'));
  const missing = missingCharacters(octets, base64.length);
  const mended = missing === 1 || missing === 2 ? withSlashes(base64, missing) : undefined;
  return mended ?? (base64.length % 4 === 1 ? new Uint8Array(0) : octets);
}

/** How many characters of base64 there would be, beside those that are, by the length that the DER begins with. */
function missingCharacters(octets: Uint8Array, characters: number): number {
  const [first, length = 0x80, second = 0, third = 0] = octets;
  if (first !== 0x30) return 0;
  const total = length < 0x80 ? 2 + length : length === 0x81 ? 3 + second : length === 0x82 ? 4 + second * 256 + third : 0;
  return Math.ceil((total * 4) / 3) - characters;
}

/** The one request that has so many slashes more, each beside another; undefined where there is none, or several. */
function withSlashes(base64: string, missing: 1 | 2): Uint8Array | undefined {
  const places = [...base64.matchAll(/\//g)].map(({ index }) => index);
  const tries = missing === 1 ? places.map((place) => [place]) : places.flatMap((a, i) => places.slice(i).map((b) => [a, b]));
  if (tries.length > MAX_TRIES) return undefined;
  const found = new Map<string, Uint8Array>();
  for (const [a = 0, b] of tries) {
    const twice = `${base64.slice(0, a)}/${base64.slice(a)}`;
    const text = b === undefined ? twice : `${twice.slice(0, b + 1)}/${twice.slice(b + 1)}`;
    const octets = new Uint8Array(Buffer.from(text, 'base64'));
    if (isRequest(octets)) found.set(text, octets);
  }
  return found.size === 1 ? [...found.values()][0] : undefined;
}

function isRequest(octets: Uint8Array): boolean {
  try {
    parseOcspRequest(octets);
    return true;
  } catch {
    return false;
  }
}

/** Without `=` at the end and slashes after it. Not by a pattern: over a long run of `=` one takes time squared. */
function withoutPadding(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end--;
  let start = end;
  while (text[start - 1] === '=') start--;
  return start < end ? text.slice(0, start) : text;
}
