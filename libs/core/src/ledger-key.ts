import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { newOctets } from './bytes.ts';
import { ShortHmac } from './digest.ts';
import { PkiError } from './pki-error.ts';

const NONCE = 12;
const TAG = 16;
const SEED = 32;
const DAY_MS = 86_400_000;

/** What fixes the serial numbers of an intent; see `LedgerKey.deriveSerial`. */
export interface SerialSource {
  /** 32 octets, random. */
  readonly seed: Uint8Array;
  readonly signedAt: Date;
  /** 2; of intents from before November 2026, 1. */
  readonly form: 1 | 2;
}

/**
 * How serials begin that are made on the (UTC) day of `at`: days since the first of January 2020, counted from 0x0100, as
 * two octets. So a serial is positive, minimal and never zero, and serials of form 1, which begin with 0x40 to 0x7f,
 * come after those of every day until 2064.
 * @throws PkiError `clock.skew` for a time outside of that
 */
export function serialDay(at: Date): Uint8Array {
  const day = Math.floor((at.getTime() - Date.UTC(2020, 0, 1)) / DAY_MS) + 0x0100;
  if (!(day >= 0x0100 && day < 0x4000)) throw new PkiError('clock.skew', 'serial numbers are made for days from 2020 to 2064: check the clock');
  return Uint8Array.of(day >> 8, day & 0xff);
}

/**
 * The installation's 256-bit key for what the database must not hold in clear: VINs, pending requests, and the secret
 * that serial numbers derive from. Subkeys by HKDF-SHA-256, one a purpose. Never printed: its fields are private.
 */
export class LedgerKey {
  readonly #seal: Uint8Array;
  readonly #index: Uint8Array;
  readonly #serial: ShortHmac;

  /** @throws PkiError `config.invalid` unless `key` has 32 octets */
  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new PkiError('config.invalid', 'the ledger key must have 32 octets');
    const subkey = (purpose: string) =>
      new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), `fleetroot/1/${purpose}`, 32));
    this.#seal = subkey('seal');
    this.#index = subkey('index');
    this.#serial = new ShortHmac(subkey('serial'), SEED + 4);
  }

  /** AES-256-GCM: nonce, ciphertext, tag. `context` is authenticated: what was sealed for one row opens only there. */
  seal(plain: Uint8Array, context: string): Uint8Array {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', this.#seal, nonce);
    cipher.setAAD(Buffer.from(context));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws PkiError `internal` where the octets were changed, or sealed for another context or by another key */
  open(sealed: Uint8Array, context: string): Uint8Array {
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#seal, sealed.subarray(0, NONCE));
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
      return Buffer.concat([decipher.update(sealed.subarray(NONCE, sealed.length - TAG)), decipher.final()]);
    } catch (cause) {
      throw new PkiError('internal', 'a sealed value does not open: is this the ledger key of this database?', { cause });
    }
  }

  /** Blind index of a value: equal values give equal 16 octets, which tell nothing without the key. */
  blindIndex(value: string, kind: string): Uint8Array {
    return createHmac('sha256', this.#index).update(`${kind}\0${value}`).digest().subarray(0, 16);
  }

  /**
   * The serial number of one item of one intent: a pure function of what was committed and the item's place, which nobody
   * can foretell without the key (I4). 18 octets: the day of `signedAt` (`serialDay`), then 128 bits of the key's. Serials
   * of one time lie together in every index and partition by serial, however many came before.
   *
   * Form 1, which was made until November 2026, has 16 octets and no day: 126 bits, behind the bits 0 and 1.
   */
  deriveSerial({ seed, signedAt, form }: SerialSource, ordinal: number): Uint8Array {
    if (seed.length !== SEED) throw new PkiError('internal', `the seed of an intent has ${SEED} octets`);
    const mac = this.#serial.of((into, at) => {
      into.set(seed, at);
      into.writeUInt32BE(ordinal, at + SEED);
    }).subarray(0, 16);
    if (form === 2) {
      const serial = newOctets(18);
      serial.set(serialDay(signedAt));
      serial.set(mac, 2);
      return serial;
    }
    const serial = new Uint8Array(mac);
    serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
    return serial;
  }
}
