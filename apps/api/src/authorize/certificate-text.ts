import { fromBase64, isPkiError } from '@fleetroot/core';
import { type ClientReason, MAX_CERTIFICATE_OCTETS } from '@fleetroot/trust';
import { decodePem, looksLikePem } from '@fleetroot/x509';

/** Base64 takes four characters for three octets, and percent-encoding some more; beyond this no certificate is looked for. */
export const LONGEST_TEXT = 2 * MAX_CERTIFICATE_OCTETS;

const LABEL = 'CERTIFICATE';

/** One certificate, PEM alone (white space around it is allowed) or base64 of the DER. */
export function readCertificate(text: string): Uint8Array | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  if (!looksLikePem(text)) return nonEmpty(fromBase64(text.trim()));
  return readPem(text);
}

/** PEM, of exactly one certificate and of nothing else. */
export function readPem(text: string): Uint8Array | undefined {
  return readPems(text, 1)?.[0];
}

/** PEM of one certificate at least and `most` at most, and of nothing else: text between them would be anybody's guess. */
export function readPems(text: string, most: number): Uint8Array[] | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  if (text.replace(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g, '').trim() !== '') return undefined;
  try {
    const blocks = decodePem(text.trimStart(), 'certificate.malformed');
    const certificates = blocks.flatMap(({ label, der }) => (label === LABEL && der.length > 0 ? [der] : []));
    return certificates.length === blocks.length && blocks.length > 0 && blocks.length <= most ? certificates : undefined;
  } catch (error) {
    if (isPkiError(error)) return undefined;
    throw error;
  }
}

const nonEmpty = (octets: Uint8Array | undefined): Uint8Array | undefined => (octets?.length === 0 ? undefined : octets);

/** As `$ssl_client_escaped_cert` of nginx has it: percent-encoded PEM. A plus is a plus. */
export function readEscapedPem(text: string): Uint8Array | ClientReason {
  return pemOf(text) ?? 'header.malformed';
}

function pemOf(text: string): Uint8Array | undefined {
  const decoded = percentDecoded(text);
  return decoded === undefined ? undefined : readPem(decoded);
}

/** Undefined where it is not percent-encoded (RFC 3986) text. */
export function percentDecoded(text: string): string | undefined {
  if (text.length > LONGEST_TEXT) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
