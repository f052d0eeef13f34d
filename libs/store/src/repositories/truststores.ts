import { createHash } from 'node:crypto';
import type { AuditEvent } from '@fleetroot/audit';
import { equalBytes, PkiError } from '@fleetroot/core';
import type { TruststoreLedger, TruststoreVersion } from '@fleetroot/trust';
import { appendEventByPrisma } from '../audit-log.ts';
import type { Database } from '../database.ts';

export class PrismaTruststoreLedger implements TruststoreLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async names(): Promise<readonly string[]> {
    const rows = await this.#database.prisma((prisma) => prisma.truststore.findMany({
      where: { versions: { some: {} } }, select: { name: true }, orderBy: { name: 'asc' },
    }));
    return rows.map(({ name }) => name);
  }

  async current(name: string): Promise<TruststoreVersion> {
    const row = await this.#database.prisma((prisma) => prisma.truststoreVersion.findFirst({ where: { truststore: name }, orderBy: { version: 'desc' } }));
    if (row === null) throw new PkiError('truststore.not-found');
    return row;
  }

  publish(
    name: string, description: string | undefined, caIds: readonly number[], pem: string,
    event: (version: number) => AuditEvent, basedOn?: number,
  ): Promise<TruststoreVersion> {
    const sha256 = Uint8Array.from(createHash('sha256').update(pem).digest());
    return this.#database.prismaTransaction(async (tx) => {
      await tx.truststore.createMany({ data: { name, description: description ?? '' }, skipDuplicates: true });
      // One publisher of a truststore at a time: versions count without a gap.
      await tx.$queryRaw`SELECT name FROM truststore WHERE name = ${name} FOR UPDATE`;
      const current = await tx.truststoreVersion.findFirst({ where: { truststore: name }, orderBy: { version: 'desc' } });
      if (current !== null && equalBytes(current.sha256, sha256)) return current;
      if (current !== null && basedOn !== undefined && current.version !== basedOn) return current;
      const version = (current?.version ?? 0) + 1;
      if (description !== undefined) await tx.truststore.update({ where: { name }, data: { description } });
      const row = await tx.truststoreVersion.create({ data: { truststore: name, version, caIds: [...caIds], sha256, pem } });
      await appendEventByPrisma(tx, event(version));
      return row;
    });
  }
}
