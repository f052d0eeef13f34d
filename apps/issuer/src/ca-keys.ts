import type { AuthorityLedger, CaSigner, CertificationAuthority } from '@fleetroot/authority';
import { isPkiError, PkiError, toHex } from '@fleetroot/core';
import type { Signer, SignerOptions } from '@fleetroot/hsm';
import { parseCertificate, signatureAlgorithmFor } from '@fleetroot/x509';

export interface CaKeysParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  /** Opens the CA token with these keys: `openSigner` of the hsm library, with the token's own settings. */
  readonly open: (keys: SignerOptions['keys']) => Promise<Signer>;
}

/** After a failed attempt to open the token, the next one waits for so long, in milliseconds. */
const PAUSE_MS = 1000;

interface OpenToken {
  readonly signer: Signer;
  /** CKA_IDs, in hex. */
  readonly keyIds: ReadonlySet<string>;
  inUse: number;
  replaced: boolean;
}

/**
 * The keys of every CA that signs, in the CA token. A CA that came into the ledger while we run is found when it is
 * first asked for: then the token is opened anew with its key among the others, and what still signs through the old
 * session ends in peace.
 */
export class CaKeys implements CaSigner {
  readonly #parts: CaKeysParts;
  #token: OpenToken | undefined;
  #opening: Promise<OpenToken> | undefined;
  #pausedUntil = 0;
  #failure: unknown;
  /** After such an error the token is not touched again: a wrong PIN given twice locks a real one. */
  #refusal: PkiError | undefined;
  #working = false;
  #closed = false;

  constructor(parts: CaKeysParts) {
    this.#parts = parts;
  }

  /** Whether the HSM did what it was last asked for. */
  get working(): boolean {
    return this.#working;
  }

  /** Opens the token unless it is open and works. Without a CA in the ledger there is nothing to open yet. @throws PkiError `hsm.*` */
  async open(): Promise<void> {
    if (this.#working) return;
    if ((await this.#signing()).length > 0) await this.#reopen();
  }

  /** @throws PkiError `hsm.*`; `ca.not-active` for a CA that signs nothing (any more) */
  async ready(authority: CertificationAuthority): Promise<void> {
    await this.#tokenFor(authority);
  }

  async sign(authority: CertificationAuthority, tbs: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const token = await this.#tokenFor(authority);
    token.inUse++;
    try {
      const algorithm = signatureAlgorithmFor(parseCertificate(authority.certificate).spkiDer);
      return await token.signer.sign(authority.keyId, algorithm, tbs);
    } catch (error) {
      throw this.#remember(error);
    } finally {
      token.inUse--;
      this.#endIfReplaced(token);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#working = false;
    const token = await this.#opening?.catch(() => undefined) ?? this.#token;
    this.#token = undefined;
    await token?.signer.close();
  }

  async #tokenFor(authority: CertificationAuthority): Promise<OpenToken> {
    const id = toHex(authority.keyId);
    if (this.#working && this.#token?.keyIds.has(id) === true) return this.#token;
    if (!(await this.#signing()).some(({ keyId }) => toHex(keyId) === id)) {
      throw new PkiError('ca.not-active', `the CA ${authority.name} signs nothing: it is not active`);
    }
    const token = await this.#reopen();
    if (token.keyIds.has(id)) return token;
    // The attempt we shared was begun before the CA was on record.
    return this.#reopen();
  }

  #reopen(): Promise<OpenToken> {
    if (this.#closed) throw new PkiError('hsm.unavailable', 'the issuer is closing');
    if (this.#refusal !== undefined) throw this.#refusal;
    if (performance.now() < this.#pausedUntil) throw this.#failure;
    this.#opening ??= this.#openAll().finally(() => { this.#opening = undefined; });
    return this.#opening;
  }

  async #openAll(): Promise<OpenToken> {
    try {
      const keys = (await this.#signing()).map(({ keyId, certificate }) => ({ keyId, spkiDer: parseCertificate(certificate).spkiDer }));
      const signer = await this.#parts.open(keys);
      const token: OpenToken = { signer, keyIds: new Set(keys.map(({ keyId }) => toHex(keyId))), inUse: 0, replaced: false };
      const before = this.#token;
      this.#token = token;
      this.#working = true;
      if (before !== undefined) {
        before.replaced = true;
        this.#endIfReplaced(before);
      }
      return token;
    } catch (error) {
      this.#failure = this.#remember(error);
      this.#pausedUntil = performance.now() + PAUSE_MS;
      throw this.#failure;
    }
  }

  async #signing(): Promise<readonly CertificationAuthority[]> {
    return (await this.#parts.authorities.all()).filter(({ state }) => state === 'active' || state === 'retiring');
  }

  #endIfReplaced(token: OpenToken): void {
    // The HSM process goes with it either way; whoever asked has his answer.
    if (token.replaced && token.inUse === 0) void token.signer.close().catch(() => undefined);
  }

  /** The error as it goes on. A token that was there and is gone is an HSM that is away (I23), not a wrong label. */
  #remember(error: unknown): unknown {
    if (!isPkiError(error) || !error.code.startsWith('hsm.')) return error;
    this.#working = false;
    if (error.code === 'hsm.token-not-found' && this.#token !== undefined) {
      return new PkiError('hsm.unavailable', 'the HSM no longer shows the CA token: it is asked again until it does', { cause: error });
    }
    if (error.retry === 'stop') this.#refusal ??= error;
    return error;
  }
}
