import { PkiError } from './pki-error.ts';

declare const brand: unique symbol;

/** A vehicle identification number: 17 characters of ISO 3779 (no I, O, Q) with a valid check digit at place 9. */
export type Vin = string & { readonly [brand]: 'Vin' };

const FORM = /^[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{8}$/;
/** Values of letters and weights of places, from 49 CFR 565.15(c), tables III and IV. */
const LETTER_VALUES: Readonly<Record<string, number>> = {
  A: 1, B: 2, C: 3, D: 4, E: 5, F: 6, G: 7, H: 8, J: 1, K: 2, L: 3, M: 4, N: 5, P: 7, R: 9,
  S: 2, T: 3, U: 4, V: 5, W: 6, X: 7, Y: 8, Z: 9,
};
const WEIGHTS = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2] as const;

/** The character that belongs at place 9 of a 17-character VIN; what stands there now is ignored. */
export function vinCheckDigit(text: string): string {
  let sum = 0;
  for (let place = 0; place < 17; place++) {
    if (place === 8) continue;
    const character = text[place] ?? '';
    sum += (LETTER_VALUES[character] ?? Number(character)) * (WEIGHTS[place] ?? 0);
  }
  return sum % 11 === 10 ? 'X' : String(sum % 11);
}

export function isVin(text: string): text is Vin {
  return FORM.test(text) && text[8] === vinCheckDigit(text);
}

/** @throws PkiError `vin.invalid`, whose message never repeats the VIN */
export function vin(text: string): Vin {
  if (!FORM.test(text)) {
    throw new PkiError('vin.invalid', 'a VIN has 17 characters: capital letters without I, O and Q, and digits');
  }
  if (!isVin(text)) throw new PkiError('vin.invalid', 'the check digit at place 9 of the VIN is wrong');
  return text;
}
