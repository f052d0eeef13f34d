import { type ErrorCode, fromBase64, PkiError, toBase64 } from '@fleetroot/core';

export interface PemBlock {
  /** `CERTIFICATE`, `CERTIFICATE REQUEST`, `X509 CRL` and so on. */
  readonly label: string;
  readonly der: Uint8Array;
}

const BEGIN = '-----BEGIN ';
const END = '-----END ';
const DASHES = '-----';
/** A label: printable characters but no hyphen at the ends (RFC 7468 section 3). */
const LABEL = /^[A-Z0-9](?:[A-Z0-9 -]{0,62}[A-Z0-9])?$/;

/** Textual encoding (RFC 7468): base64 in lines of 64 characters, a line feed at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `${BEGIN}${label}${DASHES}\n${lines.map((line) => `${line}\n`).join('')}${END}${label}${DASHES}\n`;
}

/**
 * Every block of a text, in order; text outside the blocks is skipped, as RFC 7468 section 2 allows. Inside a block
 * white space is skipped; any other character, headers (`Proc-Type`), padding that is missing or wrong, a label that
 * ends otherwise than it began, and a block without end are refused. Time grows with the length only.
 * @throws PkiError `code`
 */
export function decodePem(text: string, code: ErrorCode): PemBlock[] {
  const blocks: PemBlock[] = [];
  let at = text.indexOf(BEGIN);
  while (at !== -1) {
    const [block, next] = readBlock(text, at, code);
    blocks.push(block);
    at = text.indexOf(BEGIN, next);
  }
  return blocks;
}

/** Whether the text has a PEM block, or begins to have one. */
export const looksLikePem = (text: string): boolean => text.includes(BEGIN);

function readBlock(text: string, at: number, code: ErrorCode): [PemBlock, number] {
  const fail = (what: string): never => {
    throw new PkiError(code, `the PEM block at character ${at} ${what}`, { data: { offset: at } });
  };
  if (at > 0 && text[at - 1] !== '\n' && text[at - 1] !== '\r') fail('does not begin on a line of its own');
  const labelStart = at + BEGIN.length;
  const labelEnd = text.indexOf(DASHES, labelStart);
  const label = labelEnd === -1 ? '' : text.slice(labelStart, labelEnd);
  if (!LABEL.test(label)) fail('has no valid label');
  const bodyStart = labelEnd + DASHES.length;
  const closing = `${END}${label}${DASHES}`;
  const bodyEnd = text.indexOf(DASHES, bodyStart);
  if (bodyEnd === -1) fail('has no end');
  if (!text.startsWith(closing, bodyEnd)) fail(`does not end with the label it begins with`);
  const der = fromBase64(text.slice(bodyStart, bodyEnd).replace(/[ \t\r\n]+/g, ''));
  if (der === undefined) fail('is not valid base64');
  return [{ label, der: der as Uint8Array }, bodyEnd + closing.length];
}
