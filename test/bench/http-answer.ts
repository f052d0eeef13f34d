/** An OCSP response that says no more than an error has 5 octets. */
const LEAST_OCTETS = 6;
const [CR, LF] = [13, 10];
const [ZERO, NINE] = [48, 57];

export interface Answer {
  /** Head and body. */
  readonly octets: number;
  /** Status 200, and more than an error in it. */
  readonly ok: boolean;
}

/**
 * Finds out where HTTP/1.1 answers of one server end. Their heads are alike: where the end of the head and the length of
 * the body stood in the last answer they are looked for first, and the head is read as text only where they are not there.
 */
export class AnswerReader {
  /** Where the head's last octet is followed by the body. */
  #body = 0;
  /** Where the digits of Content-Length begin. */
  #digits = 0;

  /** What the first `length` octets begin with; undefined: it is not whole. @throws Error where the answer does not tell its length */
  read(octets: Buffer, length: number): Answer | undefined {
    if (!this.#asBefore(octets, length) && !this.#learn(octets, length)) return undefined;
    let given = 0;
    for (let at = this.#digits; octets[at]! >= ZERO && octets[at]! <= NINE; at++) given = given * 10 + octets[at]! - ZERO;
    const whole = this.#body + given;
    return length < whole ? undefined : { octets: whole, ok: isStatus200(octets) && given >= LEAST_OCTETS };
  }

  #asBefore(octets: Buffer, length: number): boolean {
    const [body, digits] = [this.#body, this.#digits];
    return body > 0 && length >= body
      && octets[body - 4] === CR && octets[body - 3] === LF && octets[body - 2] === CR && octets[body - 1] === LF
      // "\r\nContent-Length: ", by its ends; what lies between has been seen in the last answer.
      && octets[digits - 18] === CR && (octets[digits - 16]! | 0x20) === 0x63 && (octets[digits - 3]! | 0x20) === 0x68 && octets[digits - 2] === 0x3a;
  }

  #learn(octets: Buffer, length: number): boolean {
    const end = octets.subarray(0, length).indexOf('\r\n\r\n');
    if (end === -1) return false;
    const head = octets.toString('latin1', 0, end);
    const found = /\r\ncontent-length: (?=\d)/i.exec(head);
    if (found === null) throw new Error(`an answer does not tell its length: ${head}`);
    this.#body = end + 4;
    this.#digits = found.index + found[0].length;
    return true;
  }
}

/** `HTTP/1.1 200`, or the same of 1.0. */
const isStatus200 = (octets: Buffer): boolean => octets[9] === 50 && octets[10] === ZERO && octets[11] === ZERO && octets[12] === 32;
