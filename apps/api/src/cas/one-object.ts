import { type ErrorCode, isPkiError, PkiError } from '@fleetroot/core';
import { decodePem, looksLikePem } from '@fleetroot/x509';

const SEQUENCE = 0x30;

/** The one object of a PEM text. @throws PkiError `code` */
export function onePem(text: string, label: string, code: ErrorCode): Uint8Array {
  let blocks: ReturnType<typeof decodePem>;
  try {
    blocks = decodePem(text, code);
  } catch (cause) {
    throw isPkiError(cause) ? cause : new PkiError(code, undefined, { cause });
  }
  const [block] = blocks;
  if (block === undefined || blocks.length > 1 || block.label !== label) throw new PkiError(code, `send exactly one ${label} in PEM`);
  return block.der;
}

/** The one object of a body, DER or PEM. @throws PkiError `code` */
export function oneObject(body: Buffer, label: string, code: ErrorCode): Uint8Array {
  // DER of every object here is a SEQUENCE.
  const text = body[0] === SEQUENCE ? '' : body.toString('latin1');
  return looksLikePem(text) ? onePem(text, label, code) : new Uint8Array(body);
}
