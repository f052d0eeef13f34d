import { PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import pkcs11, { type Handle, type PKCS11 } from 'pkcs11js';
import { type KeyShape, mechanismName, signingMechanism } from './mechanism.ts';

/** What the token can do; asked once a login. */
export class MechanismCheck {
  readonly #lib: PKCS11;
  readonly #slot: Handle;
  readonly #present: ReadonlySet<number>;

  constructor(lib: PKCS11, slot: Handle) {
    this.#lib = lib;
    this.#slot = slot;
    this.#present = new Set(lib.C_GetMechanismList(slot));
  }

  /** @throws PkiError `hsm.mechanism-missing` where the token says that no key of this kind and size signs by `algorithm` */
  demand(algorithm: SignatureAlgorithm, { family, bits }: Pick<KeyShape, 'family' | 'bits'>): void {
    const { mechanism } = signingMechanism(algorithm, family);
    const name = mechanismName(mechanism);
    if (!this.#present.has(mechanism)) {
      throw new PkiError('hsm.mechanism-missing', `the token has no ${name}, by which ${algorithm} is signed: enable the mechanism in the HSM or choose another algorithm`);
    }
    const { flags, minKeySize, maxKeySize } = this.#lib.C_GetMechanismInfo(this.#slot, mechanism);
    if ((flags & pkcs11.CKF_SIGN) === 0) {
      throw new PkiError('hsm.mechanism-missing', `the token has ${name}, but not for signing, so there is no ${algorithm}`);
    }
    // Edwards curves have one size each, which tokens tell in bits or octets. A maximum of nothing says nothing.
    if (family === 'ed25519' || maxKeySize === 0) return;
    if (bits < minKeySize || bits > maxKeySize) {
      throw new PkiError('hsm.mechanism-missing', `the token signs by ${name} with keys of ${minKeySize} to ${maxKeySize} bits; this key has ${bits}`);
    }
  }
}
