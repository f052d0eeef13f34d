import { createPublicKey } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import type { BatchLedger, DeliveryKind, ItemResult, MadeKeyLedger } from '@fleetroot/authority';
import { type Clock, equalBytes, isPkiError, PkiError, toBase64 } from '@fleetroot/core';
import { decodePem, encodePfx, openPrivateKey, parseCertificate } from '@fleetroot/x509';
import type { Authorities } from '../authorities.ts';
import { serialOf } from '../certificates/serial-of.ts';
import type { Turns } from './turns.ts';

export interface KeyDeliveryParts {
  readonly batches: BatchLedger;
  readonly madeKeys: MadeKeyLedger;
  readonly authorities: Pick<Authorities, 'chainAbove'>;
  readonly clock: Clock;
  /** How long a delivery waits for the certificate, in milliseconds. */
  readonly timeoutMs: number;
  /** Aborts when the process closes. */
  readonly closing: AbortSignal;
  /** Of passwords that are tried. */
  readonly guesses: Turns;
}

/** Who fetches. That the batch is theirs was checked. */
export interface Receiver {
  readonly id: number;
  readonly name: string;
}

export interface DeliveredKey {
  readonly kind: DeliveryKind;
  /** ContentInfo with EnvelopedData, or PFX; DER. */
  readonly content: Uint8Array;
}

type Issued = Extract<ItemResult, { outcome: 'issued' }>;

/** Hands keys out, each with an audit event that is on record before the key leaves. */
export class KeyDelivery {
  readonly #parts: KeyDeliveryParts;

  constructor(parts: KeyDeliveryParts) {
    this.#parts = parts;
  }

  /**
   * One key; waits for its certificate.
   * @param password of a batch for PKCS#12
   * @throws PkiError `key.not-found`, `key.gone`, `key.not-ready`, `key.password-incorrect`, `http.too-many-requests`
   */
  async one(batchId: string, ordinal: number, password: string | undefined, receiver: Receiver): Promise<DeliveredKey> {
    const { madeKeys } = this.#parts;
    const { kind, envelope } = await madeKeys.held(batchId, ordinal);
    const issued = await this.#issued(batchId, ordinal);
    if (kind === 'cms') return madeKeys.deliver(batchId, ordinal, this.#event(batchId, ordinal, receiver)).then((key) => ({ kind, content: key.envelope }));
    const content = await this.#pfx(envelope, issued, password, receiver);
    await madeKeys.deliver(batchId, ordinal, this.#event(batchId, ordinal, receiver));
    return { kind, content };
  }

  /**
   * Every item from `from` on as a line of JSON, in request order, while the batch runs; a key that is still held with its
   * certificate. Of a batch for certificates of recipients alone.
   */
  async *lines(batchId: string, from: number, receiver: Receiver, signal: AbortSignal): AsyncGenerator<string> {
    for await (const result of this.#parts.batches.results(batchId, from, signal)) {
      yield `${JSON.stringify(result.outcome === 'failed' ? result : await this.#line(batchId, result, receiver))}\n`;
    }
  }

  async #line(batchId: string, { ordinal, ecuSerial, certificate }: Issued, receiver: Receiver): Promise<object> {
    const about = { ordinal, ecuSerial, serial: serialOf(certificate), certificate: toBase64(certificate) };
    try {
      const { envelope } = await this.#parts.madeKeys.deliver(batchId, ordinal, this.#event(batchId, ordinal, receiver));
      return { ...about, outcome: 'delivered', key: toBase64(envelope) };
    } catch (error) {
      if (!isPkiError(error) || (error.code !== 'key.gone' && error.code !== 'key.not-found')) throw error;
      return { ...about, outcome: 'gone', code: error.code, detail: error.message };
    }
  }

  async #issued(batchId: string, ordinal: number): Promise<Issued> {
    const { batches, timeoutMs, closing } = this.#parts;
    for await (const result of batches.results(batchId, ordinal, AbortSignal.any([AbortSignal.timeout(timeoutMs), closing]))) {
      if (result.outcome === 'issued') return result;
      throw new PkiError('key.not-found', `item ${ordinal} got no certificate (${result.code}), and its key goes unused`, { data: { ordinal, reason: result.code } });
    }
    throw new PkiError('key.not-ready', `the certificate of item ${ordinal} is not issued yet: ask again`, { data: { ordinal } });
  }

  async #pfx(encryptedKey: Uint8Array, { certificate, ecuSerial, ordinal }: Issued, password: string | undefined, receiver: Receiver): Promise<Uint8Array> {
    if (password === undefined) throw new PkiError('key.password-incorrect', 'this batch is for PKCS#12: send its password with the request for the key');
    const chain = (await this.#parts.authorities.chainAbove(certificate)).flatMap((pem) => decodePem(pem, 'internal').map(({ der }) => der));
    return this.#parts.guesses.take(receiver.id, async () => {
      const key = await openPrivateKey(encryptedKey, password);
      if (key === undefined) throw new PkiError('key.password-incorrect', 'the password is not the one that the batch was sent with');
      const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
      if (!equalBytes(spki, parseCertificate(certificate).spkiDer)) throw new PkiError('internal', `the key of item ${ordinal} is not that of its certificate`);
      return encodePfx({ encryptedKey, certificate, chain, name: ecuSerial ?? `item ${ordinal}`, password });
    });
  }

  #event(batchId: string, ordinal: number, { name }: Receiver): AuditEvent {
    return { action: 'key.delivered', actor: `principal:${name}`, at: this.#parts.clock.now(), subject: `key:${batchId}/${ordinal}`, data: {} };
  }
}
