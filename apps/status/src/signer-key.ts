import { randomBytes } from 'node:crypto';
import { PkiError, type Secret, toHex } from '@fleetroot/core';
import { type AdministeredToken, openSigner, type Signer, startTokenProcess, type TokenKey } from '@fleetroot/hsm';

export interface SignerKeyOptions {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: Secret;
  readonly deadlineMs: number;
  readonly sessionCopies: 'try' | 'never';
}

/** The one key of this app, in a token of its own; every CA certifies it with a certificate of its own. */
export interface SignerKey {
  readonly keyId: Uint8Array;
  readonly spkiDer: Uint8Array;
  readonly signer: Signer;
}

const LABEL = 'ocsp-signer';

/** Opens the OCSP key, generated now where the token has none yet. @throws PkiError `hsm.*` */
export async function openSignerKey(options: SignerKeyOptions): Promise<SignerKey> {
  const key = await ensureKey(options);
  const signer = await openSigner({ ...options, keys: [key] });
  return { ...key, signer };
}

async function ensureKey(options: SignerKeyOptions): Promise<{ keyId: Uint8Array; spkiDer: Uint8Array }> {
  const process = await startTokenProcess();
  try {
    const token = await process.open({ module: options.module, tokenLabel: options.tokenLabel, pin: options.pin });
    const known = await findKey(token);
    if (known !== undefined) return known;
    await token.generateKeyPair({ algorithm: 'p-256', label: LABEL, keyId: new Uint8Array(randomBytes(20)) });
    // Looked up again: where two processes began at once on one token, both take the same of the two keys.
    const made = await findKey(token);
    if (made === undefined) throw new PkiError('hsm.key-not-found', `the token "${options.tokenLabel}" does not show the key it has just made`);
    return made;
  } finally {
    await process.close();
  }
}

async function findKey(token: AdministeredToken): Promise<{ keyId: Uint8Array; spkiDer: Uint8Array } | undefined> {
  const [first] = (await token.listKeys())
    .filter((key): key is TokenKey & { readonly spkiDer: Uint8Array } => key.label === LABEL && key.spkiDer !== undefined)
    .toSorted((a, b) => (toHex(a.keyId) < toHex(b.keyId) ? -1 : 1));
  return first === undefined ? undefined : { keyId: first.keyId, spkiDer: first.spkiDer };
}
