import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** Octets of a block of SHA-256 and of its output: v and u of RFC 7292. */
const BLOCK = 64;
const OUTPUT = 32;
/** The ID octet of material for a MAC (RFC 7292). */
const MAC_MATERIAL = 3;
/** Rounds between two looks at the event loop: some milliseconds. */
const SLICE = 2_000;

/**
 * The key of the MAC of a PFX (RFC 7292), for HMAC-SHA-256. The standard's own derivation, which Node does not
 * have. It needs one output of the hash, so that the steps that lengthen it do not occur. Gives way to other work.
 * @param password ASCII
 */
export async function macKey(password: string, salt: Uint8Array, rounds: number): Promise<Buffer> {
  const text = bmpString(password);
  let output: Buffer = Buffer.concat([Buffer.alloc(BLOCK, MAC_MATERIAL), filled(salt), filled(text)]);
  text.fill(0);
  for (let round = 0; round < rounds; round++) {
    const next = hash('sha256', output, 'buffer');
    output.fill(0);
    output = next;
    if (round % SLICE === SLICE - 1) await setImmediate();
  }
  return output.subarray(0, OUTPUT);
}

/** BMPString with two octets of zero at its end (RFC 7292). */
function bmpString(password: string): Buffer {
  return Buffer.from(`${password}\0`, 'utf16le').swap16();
}

/** The octets again and again, to a multiple of the block. */
function filled(octets: Uint8Array): Buffer {
  return Buffer.alloc(Math.ceil(octets.length / BLOCK) * BLOCK, octets);
}
