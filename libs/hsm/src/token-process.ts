import { type Secret, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import type { KeyAlgorithm } from './key-algorithm.ts';
import { HsmProcess, type HsmProcessOptions } from './process/child.ts';
import type { TokenFacts, TokenKey } from './token.ts';

const DEADLINE_MS = 20_000;
/** Generating a large RSA key takes an HSM many seconds, and so may initialising a token. */
const LONG_DEADLINE_MS = 120_000;

/** Administration of tokens in a process of its own: another SOFTHSM2_CONF, and no frozen event loop. */
export interface TokenProcess {
  findToken(options: { module: string; label: string }): Promise<TokenFacts | undefined>;
  /** As `initToken`. */
  initToken(options: { module: string; label: string; soPin: Secret; pin: Secret }): Promise<TokenFacts>;
  /** As `openToken`. */
  open(options: { module: string; tokenLabel: string; pin: Secret }): Promise<AdministeredToken>;
  close(): Promise<void>;
}

/** An open token; each call as `Token` says. */
export interface AdministeredToken {
  readonly facts: TokenFacts;
  generateKeyPair(request: { algorithm: KeyAlgorithm; label: string; keyId: Uint8Array }): Promise<Uint8Array>;
  listKeys(): Promise<TokenKey[]>;
  sign(keyId: Uint8Array, algorithm: SignatureAlgorithm, message: Uint8Array): Promise<Uint8Array>;
}

/** @throws PkiError `hsm.unavailable` where the process does not start */
export async function startTokenProcess(options: HsmProcessOptions = {}): Promise<TokenProcess> {
  const hsm = await HsmProcess.start(options);
  return {
    findToken: async (ask) => (await hsm.ask('findToken', ask, DEADLINE_MS)) ?? undefined,
    initToken: (ask) => hsm.ask('initToken', { ...ask, soPin: ask.soPin.reveal(), pin: ask.pin.reveal() }, LONG_DEADLINE_MS),
    open: async (ask) => administered(hsm, await hsm.ask('openToken', { ...ask, pin: ask.pin.reveal() }, DEADLINE_MS)),
    close: () => hsm.close(DEADLINE_MS),
  };
}

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

function administered(hsm: HsmProcess, facts: TokenFacts): AdministeredToken {
  return {
    facts,
    generateKeyPair: async (request) => {
      const answer = await hsm.ask('generateKeyPair', { ...request, keyId: toHex(request.keyId) }, LONG_DEADLINE_MS);
      return octets(answer.spkiDer);
    },
    listKeys: async () => {
      const keys = await hsm.ask('listKeys', {}, DEADLINE_MS);
      return keys.map((key) => ({ ...key, keyId: octets(key.keyId), spkiDer: key.spkiDer === null ? undefined : octets(key.spkiDer) }));
    },
    sign: async (keyId, algorithm, message) => {
      const ask = { keyId: toHex(keyId), algorithm, message: toHex(message) };
      return octets((await hsm.ask('signOnce', ask, DEADLINE_MS)).signature);
    },
  };
}
