import { fromBase64, PkiError } from '@fleetroot/core';
import { decodePem, looksLikePem } from '../pem/pem.ts';
import { type CertificationRequest, MAX_REQUEST_OCTETS, parseRequest } from './request.ts';

/** `NEW` is what older programs, Java's keytool and GnuTLS among them, write (RFC 7468 section 7). */
const LABELS: readonly string[] = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'];
/** Base64 of the largest request with a line break every few characters, and some text around it. */
const MAX_TEXT = 2 * MAX_REQUEST_OCTETS;

/**
 * Request as people and machines send it: PEM with exactly one block, base64 of DER, or DER. Costs microseconds; the
 * signature is not verified, see `verifyPossession`.
 * @throws PkiError `request.pem-invalid`, `request.pem-label`, `request.pem-count`, and those of `parseRequest`
 */
export function readRequest(input: Uint8Array | string): CertificationRequest {
  if (typeof input === 'string') return parseRequest(fromText(input));
  if (input[0] === 0x30 && !isText(input)) return parseRequest(input);
  const text = input.length > 0 && input.length <= MAX_TEXT && isText(input);
  return parseRequest(text ? fromText(Buffer.from(input).toString('latin1')) : input);
}

/** DER of a request has octets of control characters within its first few; text never has. */
function isText(input: Uint8Array): boolean {
  const end = Math.min(input.length, 64);
  for (let i = 0; i < end; i++) {
    const octet = input[i] ?? 0;
    if (octet === 0x7f || (octet < 0x20 && octet !== 0x09 && octet !== 0x0a && octet !== 0x0d)) return false;
  }
  return true;
}

function fromText(text: string): Uint8Array {
  if (text.length > MAX_TEXT) {
    throw new PkiError('request.too-large', `the text of a request has at most ${MAX_TEXT} characters`, {
      data: { limit: MAX_TEXT },
    });
  }
  return looksLikePem(text) ? fromPem(text) : fromBareBase64(text);
}

function fromPem(text: string): Uint8Array {
  const blocks = decodePem(text, 'request.pem-invalid');
  const [block] = blocks;
  if (block === undefined || blocks.length !== 1) {
    throw new PkiError('request.pem-count', `exactly one PEM block is expected, ${blocks.length} were sent`, {
      data: { blocks: blocks.length },
    });
  }
  if (!LABELS.includes(block.label)) {
    throw new PkiError('request.pem-label', 'the label of the PEM block must be CERTIFICATE REQUEST or NEW CERTIFICATE REQUEST');
  }
  return block.der;
}

function fromBareBase64(text: string): Uint8Array {
  const bare = text.replace(/[ \t\r\n]+/g, '');
  if (bare === '') throw new PkiError('request.empty', 'the request has no characters');
  const der = fromBase64(bare);
  if (der === undefined) throw new PkiError('request.malformed', 'the request is neither PEM nor base64 of DER');
  return der;
}
