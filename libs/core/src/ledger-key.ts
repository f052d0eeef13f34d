import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { PkiError } from './pki-error.ts';

const NONCE = 12;
const TAG = 16;

/**
 * The installation's 256-bit key for what the database must not hold in clear: VINs, pending requests, and the secret
 * that serial numbers derive from. Subkeys by HKDF-SHA-256, one a purpose. Never printed: its fields are private.
 */
export class LedgerKey {
  readonly #seal: Uint8Array;
  readonly #index: Uint8Array;
  readonly #serial: Uint8Array;

  /** @throws PkiError `config.invalid` unless `key` has 32 octets */
  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new PkiError('config.invalid', 'the ledger key must have 32 octets');
    const subkey = (purpose: string) =>
      new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), `fleetroot/1/${purpose}`, 32));
    this.#seal = subkey('seal');
    this.#index = subkey('index');
    this.#serial = subkey('serial');
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
   * The serial number of one item of one intent: a pure function of the committed seed and the item's place, which
   * nobody can foretell without the key. 16 octets, of which 126 bits are free: the first two bits are 0 and 1, so that
   * it is positive, minimal and never zero.
   */
  deriveSerial(seed: Uint8Array, ordinal: number): Uint8Array {
    const mac = createHmac('sha256', this.#serial);
    const place = Buffer.alloc(4);
    place.writeUInt32BE(ordinal);
    const serial = new Uint8Array(mac.update(seed).update(place).digest().subarray(0, 16));
    serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
    return serial;
  }
}
