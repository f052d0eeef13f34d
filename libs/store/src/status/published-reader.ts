import type { CeremonyCertificate, CertificationAuthority, CrlContent, CrlHead, PublishedLedger, PublishedTruststore } from '@fleetroot/authority';
import { readAuthorities } from '../authorities/authority-row.ts';
import { allUsableCertificates } from '../authorities/ceremony-certificates.ts';
import type { Queryable } from '../database.ts';
import type { PrismaTruststoreLedger } from '../repositories/truststores.ts';
import { crlHeads, HEAD, headOf, type HeadRow } from './published-crl.ts';

/** Octets come as hex, which is read at one go: a CRL of tens of megabytes would hold up all else for as long. */
const SLICE = 1 << 20;

export class PublishedReader implements PublishedLedger {
  readonly #database: Queryable;
  readonly #truststores: Pick<PrismaTruststoreLedger, 'current'>;

  constructor(database: Queryable, truststores: Pick<PrismaTruststoreLedger, 'current'>) {
    this.#database = database;
    this.#truststores = truststores;
  }

  authorities(): Promise<readonly CertificationAuthority[]> {
    return readAuthorities(this.#database);
  }

  usableCertificates(now: Date): Promise<readonly CeremonyCertificate[]> {
    return allUsableCertificates(this.#database, now);
  }

  async truststoreVersions(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#database.query<{ truststore: string; version: number }>('SELECT truststore, max(version) AS version FROM truststore_version GROUP BY truststore');
    return new Map(rows.map(({ truststore, version }) => [truststore, version]));
  }

  truststore(name: string): Promise<PublishedTruststore> {
    return this.#truststores.current(name);
  }

  async crlsSince(since: Date | undefined): Promise<{ heads: readonly CrlHead[]; at: Date }> {
    const [time] = await this.#database.query<{ at: Date }>('SELECT clock_timestamp() AS at');
    const at = time?.at ?? new Date(0);
    if (since === undefined) return { heads: await crlHeads(this.#database), at };
    return { heads: (await this.#database.query<HeadRow>(`SELECT ${HEAD} FROM crl WHERE published_at >= $1`, [since])).map(headOf), at };
  }

  async crlContent(head: CrlHead): Promise<CrlContent | undefined> {
    const slices: Buffer[] = [];
    for (let read = 0; ;) {
      const [row] = await this.#database.query<{ slice: Buffer; octets: number; dated: boolean }>(
        `SELECT substring(der FROM $5::int FOR $6::int) AS slice, octet_length(der) AS octets,
                NOT EXISTS (SELECT FROM crl p WHERE p.ca_id = $1 AND p.scope = $2 AND p.kind = $3 AND p.number < $4 AND p.published_at IS NOT NULL
                            AND p.number > c.number - 60000 AND p.this_update >= date_trunc('second', c.this_update)) AS dated
         FROM crl c WHERE ca_id = $1 AND scope = $2 AND kind = $3 AND number = $4 AND der IS NOT NULL`,
        [head.caId, head.scope, head.kind, head.number, read + 1, SLICE]);
      if (row === undefined) return undefined;
      slices.push(row.slice);
      read += row.slice.length;
      if (read >= row.octets) return { der: slices.length === 1 ? row.slice : Buffer.concat(slices), dated: row.dated };
      if (row.slice.length === 0) return undefined;
    }
  }
}
