import { errorCatalogue, type ErrorCode, PkiError } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import type { KeyAlgorithm } from '../key-algorithm.ts';
import type { TokenFacts, TokenKey } from '../token.ts';

/** Octets as they travel in JSON: hexadecimal. */
type Hex = string;

/** What an HSM process can be asked, and what it answers. PINs travel here, over a pair of connected sockets. */
export interface HsmRequests {
  openSigner: {
    ask: { module: string; tokenLabel: string; pin: string; sessionCopies: 'try' | 'never'; progressMs: number; keys: KeyToOpen[] };
    /** In the order asked; `copied`: every key signs through a session copy. */
    answer: { keys: OpenedKey[]; copied: boolean };
  };
  /** Whether the session still stands. `keys`: those that could not be used; they are looked for again. */
  probe: { ask: { keys: KeyToOpen[] }; answer: { keys: OpenedKey[] } };
  findToken: { ask: { module: string; label: string }; answer: TokenFacts | null };
  initToken: { ask: { module: string; label: string; soPin: string; pin: string }; answer: TokenFacts };
  openToken: { ask: { module: string; tokenLabel: string; pin: string }; answer: TokenFacts };
  generateKeyPair: { ask: { algorithm: KeyAlgorithm; label: string; keyId: Hex }; answer: { spkiDer: Hex } };
  listKeys: { ask: object; answer: (Omit<TokenKey, 'keyId' | 'spkiDer'> & { keyId: Hex; spkiDer: Hex | null })[] };
  signOnce: { ask: { keyId: Hex; algorithm: SignatureAlgorithm; message: Hex }; answer: { signature: Hex } };
}

interface KeyToOpen {
  readonly keyId: Hex;
  readonly spkiDer: Hex;
  /** Each algorithm the key will sign by, and what it signs by it as a self-test. */
  readonly tests: readonly { readonly algorithm: SignatureAlgorithm; readonly input: Hex }[];
}

/** The self-test signatures of a key, in order, as the token makes them; or why it cannot be used. */
export type OpenedKey = { readonly signatures: readonly Hex[] } | { readonly fault: Failure };

export type HsmOperation = keyof HsmRequests;

export type HsmRequest = { [O in HsmOperation]: { readonly op: O } & HsmRequests[O]['ask'] }[HsmOperation];

/** A PkiError on its way between processes. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

export const failureOf = ({ code, message, data }: Failure): PkiError =>
  new PkiError(code in errorCatalogue ? (code as ErrorCode) : 'hsm.unavailable', message, { data });
