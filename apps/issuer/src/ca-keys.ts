import { type AuthorityLedger, type CaSigner, type CertificationAuthority, signatureAlgorithmOf, signsStatus, type SigningPurpose } from '@fleetroot/authority';
import { isPkiError, PkiError, toHex } from '@fleetroot/core';
import { controlLoad, isFaultOfKey, type LoadControl, type LoadSettings, type Signer, type SignerOptions } from '@fleetroot/hsm';
import { parseCertificate } from '@fleetroot/x509';

export interface CaKeysParts {
  readonly authorities: Pick<AuthorityLedger, 'all'>;
  /** Opens the CA token with these keys: `openSigner` of the hsm library, with the token's own settings. */
  readonly open: (of: Pick<SignerOptions, 'keys' | 'onUnusableKey' | 'onState'>) => Promise<Signer>;
  readonly load: LoadSettings<SigningPurpose>;
  /** Told once of each reason for which the key of a CA cannot be used: a `ca.key-unusable`. */
  readonly onUnusableKey?: (error: PkiError) => void;
  /** Told when the HSM goes away, and when it is back. */
  readonly onState?: SignerOptions['onState'];
}

/** After a failed attempt to open the token, the next one waits for so long, in milliseconds. */
const PAUSE_MS = 1000;
/** So often the token is opened anew while a key in it cannot be used: somebody may have put it right, in milliseconds. */
const UNUSABLE_PAUSE_MS = 60_000;

interface OpenToken {
  readonly signer: Signer;
  /** Those whose keys it was opened with, by CKA_ID in hex. */
  readonly authorities: ReadonlyMap<string, CertificationAuthority>;
  readonly openedAt: number;
  away: boolean;
  inUse: number;
  replaced: boolean;
}

/**
 * The keys of every CA that signs, in the CA token, with the HSM's load control before them. The signer heals by itself
 * while the HSM comes and goes. A CA that came into the ledger while we run is found at the next heartbeat, or when it is
 * first asked for: then the token is opened anew with its key among the others, and what still signs through the old
 * session ends in peace. A key that cannot be used is its own CA's trouble alone.
 */
export class CaKeys implements CaSigner {
  readonly #parts: CaKeysParts;
  readonly #load: LoadControl<SigningPurpose>;
  #token: OpenToken | undefined;
  #opening: Promise<OpenToken> | undefined;
  #pausedUntil = 0;
  #failure: unknown;
  /** After such an error the token is not touched again: a wrong PIN given twice locks a real one. */
  #refusal: PkiError | undefined;
  /** Why a key cannot be used, as it was last told, by CKA_ID in hex. */
  readonly #told = new Map<string, string>();
  #closed = false;

  constructor(parts: CaKeysParts) {
    this.#parts = parts;
    this.#load = controlLoad({ sign: (...call) => this.#signNow(...call) }, parts.load);
  }

  /** Whether the HSM can be reached, and one key in it used. */
  get working(): boolean {
    const token = this.#token;
    return token !== undefined && !token.away && this.#refusal === undefined && unusable(token).length < token.authorities.size;
  }

  /** Those of the load control, and `unusableKeys`: CAs that should sign and cannot. */
  figures(): Readonly<Record<string, number>> {
    return { ...this.#load.figures(), unusableKeys: this.#token === undefined ? 0 : unusable(this.#token).length };
  }

  /**
   * Opens the token unless it is open with the key of every CA that signs, and waits for an HSM that is away. Without a CA
   * in the ledger there is nothing to open yet. @throws PkiError `hsm.*`
   */
  async open(): Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    const signing = await this.#signing();
    const token = this.#token;
    if (token?.away === true) return this.#reach(token);
    const anew = token === undefined ? signing.length > 0
      : signing.some(({ keyId }) => !token.authorities.has(toHex(keyId)))
        || (unusable(token).length > 0 && performance.now() - token.openedAt > UNUSABLE_PAUSE_MS);
    if (anew) await this.#reopen();
  }

  async ready(authority: CertificationAuthority): Promise<void> {
    const token = await this.#tokenFor(authority);
    await this.#reach(token);
    requireUsable(token, authority);
  }

  async sign(authority: CertificationAuthority, tbs: readonly Uint8Array[], purpose: SigningPurpose): Promise<readonly Uint8Array[]> {
    try {
      requireUsable(await this.#tokenFor(authority), authority);
    } catch (error) {
      throw isPkiError(error) ? new PkiError(error.code, error.message, { cause: error, data: { ...error.data, attempted: 0 } }) : error;
    }
    try {
      return await this.#load.sign(purpose, keyIdOf(authority), signatureAlgorithmOf(authority), tbs);
    } catch (error) {
      throw isPkiError(error) && isFaultOfKey(error) ? keyUnusable(authority, error) : this.#remember(error);
    }
  }

  /** From now on nobody waits for an HSM that is away, or goes away; what works goes on until `close`. */
  endWaiting(): void {
    this.#closed = true;
    if (this.#token?.away === true) this.#abandon();
  }

  async close(): Promise<void> {
    this.#closed = true;
    const token = await this.#opening?.catch(() => undefined) ?? this.#token;
    this.#token = undefined;
    await token?.signer.close();
  }

  async #signNow(...call: Parameters<Signer['sign']>): Promise<Uint8Array[]> {
    const token = this.#token;
    if (token === undefined) throw new PkiError('hsm.unavailable', 'the CA token is not open', { data: { attempted: 0 } });
    token.inUse++;
    try {
      return await token.signer.sign(...call);
    } finally {
      token.inUse--;
      endIfReplaced(token);
    }
  }

  async #reach(token: OpenToken): Promise<void> {
    try {
      await token.signer.ready();
    } catch (error) {
      throw this.#remember(error);
    }
  }

  async #tokenFor(authority: CertificationAuthority): Promise<OpenToken> {
    const id = toHex(keyIdOf(authority));
    if (this.#refusal !== undefined) throw this.#refusal;
    if (this.#token?.authorities.has(id) === true) return this.#token;
    if (!(await this.#signing()).some(({ keyId }) => toHex(keyId) === id)) throw silent(authority);
    const token = await this.#reopen();
    if (token.authorities.has(id)) return token;
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
      const authorities = await this.#signing();
      let token: OpenToken | undefined;
      let away = false;
      const signer = await this.#parts.open({
        keys: authorities.map((authority) => ({
          keyId: authority.keyId, spkiDer: parseCertificate(authority.certificate).spkiDer, algorithms: [signatureAlgorithmOf(authority)],
        })),
        // Of those that are found while the token is being opened we are told below.
        onUnusableKey: () => { if (token !== undefined) this.#tell(token); },
        onState: (now, error) => {
          away = now === 'away';
          if (token !== undefined) token.away = away;
          if (error !== undefined) this.#remember(error);
          if (away && this.#closed) this.#abandon();
          this.#parts.onState?.(now, error);
        },
      });
      token = {
        signer, authorities: new Map(authorities.map((authority) => [toHex(authority.keyId), authority])),
        openedAt: performance.now(), away, inUse: 0, replaced: false,
      };
      const before = this.#token;
      this.#token = token;
      this.#tell(token);
      if (before !== undefined) {
        before.replaced = true;
        endIfReplaced(before);
      }
      return token;
    } catch (error) {
      this.#failure = this.#remember(error);
      // The signer that is open has the same PIN, and would give it once more at its next login.
      if (this.#refusal !== undefined) this.#abandon();
      this.#pausedUntil = performance.now() + PAUSE_MS;
      throw this.#failure;
    }
  }

  /** What is in hand is finished; whoever waits is rejected, and so is whoever comes. */
  #abandon(): void {
    void this.#token?.signer.close().catch(() => undefined);
  }

  #tell(token: OpenToken): void {
    for (const [id, authority] of token.authorities) {
      const error = token.signer.usable(authority.keyId ?? new Uint8Array(0));
      if (error === undefined) {
        this.#told.delete(id);
      } else if (this.#told.get(id) !== error.message) {
        this.#told.set(id, error.message);
        this.#parts.onUnusableKey?.(keyUnusable(authority, error));
      }
    }
  }

  async #signing(): Promise<readonly (CertificationAuthority & { readonly keyId: Uint8Array })[]> {
    return (await this.#parts.authorities.all()).filter((ca): ca is CertificationAuthority & { readonly keyId: Uint8Array } => signsStatus(ca));
  }

  /** The error as it goes on. A token that was there and is gone is an HSM that is away (I23), not a wrong label. */
  #remember(error: unknown): unknown {
    if (!isPkiError(error) || !error.code.startsWith('hsm.')) return error;
    if (error.code === 'hsm.token-not-found' && this.#token !== undefined) {
      return new PkiError('hsm.unavailable', 'the HSM no longer shows the CA token: it is asked again until it does', { cause: error, data: error.data });
    }
    if (error.retry === 'stop' && !isFaultOfKey(error)) this.#refusal ??= error;
    return error;
  }
}

function keyIdOf(authority: CertificationAuthority): Uint8Array {
  if (authority.keyId === undefined || !signsStatus(authority)) throw silent(authority);
  return authority.keyId;
}

const silent = ({ name, state, keyId }: CertificationAuthority): PkiError => new PkiError('ca.not-active',
  keyId === undefined ? `the CA ${name} signs nothing here: its key is not in the CA token` : `the CA ${name} signs nothing: it is ${state}`);

function unusable({ signer, authorities }: OpenToken): CertificationAuthority[] {
  return [...authorities.values()].filter(({ keyId }) => keyId !== undefined && signer.usable(keyId) !== undefined);
}

/** @throws PkiError `ca.key-unusable` */
function requireUsable({ signer }: OpenToken, authority: CertificationAuthority): void {
  const error = signer.usable(keyIdOf(authority));
  if (error !== undefined) throw keyUnusable(authority, error);
}

function keyUnusable({ name }: CertificationAuthority, error: PkiError): PkiError {
  return new PkiError('ca.key-unusable',
    `the key of the CA ${name} cannot be used: ${error.message}. The other CAs sign on. Put the key right in the CA token (it is tried again each minute), or revoke the CA`,
    { cause: error, data: error.data });
}

function endIfReplaced(token: OpenToken): void {
  // The HSM process goes with it either way; whoever asked has his answer.
  if (token.replaced && token.inUse === 0) void token.signer.close().catch(() => undefined);
}
