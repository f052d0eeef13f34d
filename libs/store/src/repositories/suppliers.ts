import type { AuditEvent } from '@fleetroot/audit';
import { PkiError } from '@fleetroot/core';
import type { Supplier, SupplierLedger } from '@fleetroot/fleet';
import { appendEventByPrisma } from '../audit-log.ts';
import type { Database } from '../database.ts';
import { isUniqueViolation } from '../errors.ts';
import type { Supplier as SupplierRow } from '../generated/client.ts';
import { certificateSpkiSha256 } from '../spki.ts';

export class PrismaSupplierLedger implements SupplierLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async all(): Promise<readonly Supplier[]> {
    return (await this.#database.prisma((prisma) => prisma.supplier.findMany({ orderBy: { id: 'asc' } }))).map(supplierOf);
  }

  async register(name: string, certificate: Uint8Array, event: AuditEvent): Promise<Supplier> {
    const spkiSha256 = Uint8Array.from(certificateSpkiSha256(certificate, 'supplier.certificate-invalid'));
    try {
      return await this.#database.prismaTransaction(async (tx) => {
        const row = await tx.supplier.create({ data: { name, certificate: Uint8Array.from(certificate), spkiSha256 } });
        await appendEventByPrisma(tx, event);
        return supplierOf(row);
      });
    } catch (error) {
      if (isUniqueViolation(error)) throw new PkiError('supplier.conflict', undefined, { cause: error });
      throw error;
    }
  }
}

function supplierOf(row: SupplierRow): Supplier {
  return { id: row.id, name: row.name, certificate: row.certificate, disabledAt: row.disabledAt ?? undefined };
}
