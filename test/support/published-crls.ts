import { hash } from 'node:crypto';
import { Client } from 'pg';
import type { CrlKind, CrlScope } from '@fleetroot/authority';
import type { Secret } from '@fleetroot/core';
import { assembleCrl, buildCrlTbs, type CrlEntry } from '@fleetroot/x509';
import type { SoftwareCa } from './software-ca.ts';

export interface TestCrlFields {
  readonly scope?: CrlScope;
  readonly kind?: CrlKind;
  readonly number?: bigint;
  readonly baseNumber?: bigint;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  readonly entries?: readonly CrlEntry[];
  /** Of a shard. */
  readonly url?: string;
}

/** A CRL that the CA signs here and now. */
export function signCrl(ca: SoftwareCa, { kind = 'full', number = BigInt(Date.now()), baseNumber, thisUpdate = second(), nextUpdate = second(3600), entries = [], url }: TestCrlFields): Uint8Array {
  const tbs = buildCrlTbs({
    signatureAlgorithm: 'ecdsa-sha256', issuerDer: ca.subjectDer, thisUpdate, nextUpdate, number, authorityKeyIdentifier: ca.keyId, entries,
    ...(url === undefined ? {} : { distributionPoint: [url] }), ...(kind === 'delta' ? { baseNumber: baseNumber ?? number } : {}),
  });
  return assembleCrl(tbs, 'ecdsa-sha256', ca.sign(tbs));
}

/** A whole second, so many from now. */
export const second = (later = 0): Date => new Date((Math.floor(Date.now() / 1000) + later) * 1000);

/** Puts CRLs on record as the publisher does: in one statement, octets and number together. */
export class TestPublisher {
  readonly #client: Client;
  readonly #ca: SoftwareCa;
  readonly #caId: number;

  private constructor(client: Client, ca: SoftwareCa, caId: number) {
    this.#client = client;
    this.#ca = ca;
    this.#caId = caId;
  }

  static async open(databaseUrl: Secret, ca: SoftwareCa, caId: number): Promise<TestPublisher> {
    const client = new Client({ connectionString: databaseUrl.reveal() });
    client.on('error', () => undefined);
    await client.connect();
    return new TestPublisher(client, ca, caId);
  }

  async publish(fields: TestCrlFields): Promise<Uint8Array> {
    const { scope = 'all', kind = 'full', number = BigInt(Date.now()), baseNumber, thisUpdate = second(), nextUpdate = second(3600), entries = [] } = fields;
    const der = signCrl(this.#ca, { ...fields, number, thisUpdate, nextUpdate });
    await this.#client.query(
      `INSERT INTO crl (ca_id, scope, kind, number, base_number, this_update, next_update, entries, octets, sha256, der, published_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp())`,
      [this.#caId, scope, kind, number, kind === 'delta' ? baseNumber ?? number : null, thisUpdate, nextUpdate, entries.length, der.length, hash('sha256', der, 'buffer'), der]);
    return der;
  }

  async sql(text: string, values: readonly unknown[] = []): Promise<void> {
    await this.#client.query(text, [...values]);
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}

/** `count` entries with ascending serials of 16 octets. */
export const someEntries = (count: number, first = 0): CrlEntry[] => Array.from({ length: count }, (_, place) => {
  const serial = Buffer.alloc(16, 0x41);
  hash('sha256', String(first + place), 'buffer').copy(serial, 5, 0, 11);
  serial.writeUInt32BE(first + place, 1);
  return { serial, revokedAt: new Date('2026-11-01T00:00:00Z'), reason: 1 };
});
