import type { AuditEvent } from '@fleetroot/audit';
import { equalBytes, PkiError } from '@fleetroot/core';
import type { FactoryIdentity, RefusedConnection, RegistrationLedger, RegistrationRecord } from '@fleetroot/fleet';
import { appendEvent } from '../audit-log.ts';
import type { Database, Queryable } from '../database.ts';

interface EcuRow {
  readonly part_number: string;
  readonly factory_key_sha256: Buffer | null;
}

export class PostgresRegistrationLedger implements RegistrationLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  register(identity: FactoryIdentity, at: Date, event: AuditEvent): Promise<'registered' | 'known'> {
    return this.#database.transaction(async (tx) => {
      const outcome = await registerEcu(tx, identity, at);
      await tx.query(
        'INSERT INTO registration (at, outcome, supplier_id, ecu_serial, certificate_sha256) VALUES ($1, $2, $3, $4, $5)',
        [at, outcome, identity.supplierId, identity.ecuSerial, identity.certificateSha256]);
      if (outcome === 'registered') await appendEvent(tx, event);
      return outcome;
    });
  }

  async refuse(refusal: RefusedConnection): Promise<void> {
    await this.#database.prisma((prisma) => prisma.registration.create({
      data: {
        at: refusal.at, outcome: 'refused', code: refusal.code, detail: refusal.detail,
        supplierId: refusal.supplierId ?? null, ecuSerial: refusal.ecuSerial ?? null,
        certificateSha256: refusal.certificateSha256 === undefined ? null : Uint8Array.from(refusal.certificateSha256),
      },
    }));
  }

  async list(before: bigint | undefined, limit: number): Promise<readonly RegistrationRecord[]> {
    const rows = await this.#database.prisma((prisma) => prisma.registration.findMany({
      ...(before === undefined ? {} : { where: { id: { lt: before } } }),
      orderBy: { id: 'desc' }, take: limit, include: { supplier: { select: { name: true } } },
    }));
    return rows.map((row) => ({
      id: row.id, at: row.at, outcome: row.outcome as RegistrationRecord['outcome'], code: row.code ?? undefined,
      detail: row.detail ?? undefined, supplier: row.supplier?.name, ecuSerial: row.ecuSerial ?? undefined,
    }));
  }
}

async function registerEcu(tx: Queryable, identity: FactoryIdentity, at: Date): Promise<'registered' | 'known'> {
  const { ecuSerial, partNumber, supplierId, factoryKeySha256 } = identity;
  const added = await tx.query(
    `INSERT INTO ecu (serial, part_number, supplier_id, factory_key_sha256, registered_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (serial) DO NOTHING RETURNING serial`, [ecuSerial, partNumber, supplierId, factoryKeySha256, at]);
  if (added.length > 0) return 'registered';
  const [ecu] = await tx.query<EcuRow>('SELECT part_number, factory_key_sha256 FROM ecu WHERE serial = $1 FOR UPDATE', [ecuSerial]);
  if (ecu === undefined) throw new PkiError('internal', 'an ECU vanished from the ledger');
  if (ecu.part_number !== partNumber) throw new PkiError('ecu.part-number-conflict');
  if (ecu.factory_key_sha256 === null) {
    await tx.query('UPDATE ecu SET supplier_id = $2, factory_key_sha256 = $3, registered_at = $4 WHERE serial = $1',
      [ecuSerial, supplierId, factoryKeySha256, at]);
    return 'registered';
  }
  if (!equalBytes(ecu.factory_key_sha256, factoryKeySha256)) throw new PkiError('registration.identity-conflict');
  return 'known';
}
