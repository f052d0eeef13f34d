import { setTimeout as sleep } from 'node:timers/promises';
import { ask, ecuKey } from '../support/faults.ts';
import type { Product } from '../support/product.ts';

interface Asked { readonly ecuSerial: string; readonly body: string; readonly key: string; serial?: string }

const EVERY_MS = 400;
const PATIENCE_MS = 25_000;

/**
 * A station that asks for one certificate at a time all the while, and takes each answer at its word. What it was not
 * answered it asks again under the same Idempotency-Key.
 */
export class Station {
  readonly #product: () => Product;
  readonly #name: string;
  readonly #asked: Asked[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(name: string, product: () => Product) {
    this.#name = name;
    this.#product = product;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Certificates that it was told of. */
  get acknowledged(): number {
    return this.#asked.filter(({ serial }) => serial !== undefined).length;
  }

  /** Ends it, and has everything answered that was asked; what does not hold of it. */
  async settle(withinMs = 60_000): Promise<string[]> {
    this.#stopped = true;
    await this.#running;
    const breaches: string[] = [];
    for (const asked of this.#asked) {
      const before = asked.serial;
      let last = '';
      for (const until = Date.now() + withinMs; ; await sleep(500)) {
        last = await this.#ask(asked);
        if (last === '' || Date.now() > until) break;
      }
      if (last !== '') breaches.push(`the station's ${asked.ecuSerial} got no certificate: ${last}`);
      else if (before !== undefined && asked.serial !== before) breaches.push(`the station's ${asked.ecuSerial} was given ${before}, and then ${asked.serial}`);
    }
    const rows = await ask<{ ecu_serial: string; serials: string[] }>(this.#product(),
      `SELECT ecu_serial, array_agg(encode(serial, 'hex')) AS serials FROM certificate WHERE ecu_serial = ANY($1) GROUP BY 1`, [this.#asked.map(({ ecuSerial }) => ecuSerial)]);
    const onRecord = new Map(rows.map(({ ecu_serial, serials }) => [ecu_serial, serials]));
    for (const { ecuSerial, serial } of this.#asked) {
      const serials = onRecord.get(ecuSerial) ?? [];
      if (serials.length !== 1 || serials[0] !== serial) breaches.push(`the station's ${ecuSerial} holds ${serial}, and on record are ${serials.join(', ') || 'none'}`);
    }
    return breaches;
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const ecuSerial = `${this.#name}-${i}`;
      const csr = await ecuKey().request(ecuSerial);
      const asked: Asked = { ecuSerial, key: ecuSerial.toLowerCase(), body: JSON.stringify({ profile: 'ecu-client', ecuSerial, partNumber: 'FAULT-1', csr }) };
      this.#asked.push(asked);
      await this.#ask(asked);
      await sleep(EVERY_MS);
    }
  }

  /** Empty where it was answered with a certificate, else why not. */
  async #ask(asked: Asked): Promise<string> {
    try {
      const response = await fetch(`${this.#product().api}/v1/certificates`, {
        method: 'POST', body: asked.body, signal: AbortSignal.timeout(PATIENCE_MS),
        headers: { authorization: `Bearer ${this.#product().token('line')}`, 'content-type': 'application/json', 'idempotency-key': asked.key },
      });
      const text = await response.text();
      if (!response.ok) return `${response.status} ${text.slice(0, 200)}`;
      asked.serial = (JSON.parse(text) as { serial: string }).serial;
      return '';
    } catch (error) {
      return String(error);
    }
  }
}
