import type { SignatureAlgorithm } from '@fleetroot/x509';
import type { KeyAlgorithm } from '../key-algorithm.ts';
import type { TokenFacts, TokenKey } from '../token.ts';

/** Octets as they travel in JSON: hexadecimal. */
type Hex = string;

/** What an HSM process can be asked, and what it answers. PINs travel here, over a pair of connected sockets. */
export interface HsmRequests {
  openSigner: {
    ask: {
      module: string; tokenLabel: string; pin: string; sessionCopies: 'try' | 'never'; progressMs: number;
      /** `input` is what the key signs as its self-test. */
      keys: { keyId: Hex; spkiDer: Hex; algorithm: SignatureAlgorithm; input: Hex }[];
    };
    /** The self-test signature of each key, in order, as the token makes it. */
    answer: { signatures: Hex[]; copied: boolean };
  };
  findToken: { ask: { module: string; label: string }; answer: TokenFacts | null };
  initToken: { ask: { module: string; label: string; soPin: string; pin: string }; answer: TokenFacts };
  openToken: { ask: { module: string; tokenLabel: string; pin: string }; answer: TokenFacts };
  generateKeyPair: { ask: { algorithm: KeyAlgorithm; label: string; keyId: Hex }; answer: { spkiDer: Hex } };
  listKeys: { ask: object; answer: (Omit<TokenKey, 'keyId' | 'spkiDer'> & { keyId: Hex; spkiDer: Hex | null })[] };
  signOnce: { ask: { keyId: Hex; algorithm: SignatureAlgorithm; message: Hex }; answer: { signature: Hex } };
}

export type HsmOperation = keyof HsmRequests;

export type HsmRequest = { [O in HsmOperation]: { readonly op: O } & HsmRequests[O]['ask'] }[HsmOperation];

/** A PkiError on its way between processes. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}
