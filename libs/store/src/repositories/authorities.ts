import type { AuditEvent } from '@fleetroot/audit';
import type { AuthorityLedger, CaState, CertificationAuthority } from '@fleetroot/authority';
import { type CaName, equalBytes, PkiError } from '@fleetroot/core';
import { appendEventByPrisma } from '../audit-log.ts';
import type { Database } from '../database.ts';
import { isUniqueViolation } from '../errors.ts';
import type { Ca } from '../generated/client.ts';
import { certificateSpkiSha256 } from '../spki.ts';

export class PrismaAuthorityLedger implements AuthorityLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async all(): Promise<readonly CertificationAuthority[]> {
    return (await this.#database.prisma((prisma) => prisma.ca.findMany({ orderBy: { id: 'asc' } }))).map(authorityOf);
  }

  async byName(name: CaName): Promise<CertificationAuthority> {
    const row = await this.#find(name);
    if (row === undefined) throw new PkiError('ca.not-found', `no CA is called ${name}`);
    return row;
  }

  async add(ca: Omit<CertificationAuthority, 'id'>, event: AuditEvent): Promise<CertificationAuthority> {
    const known = await this.#find(ca.name);
    if (known !== undefined) return requireSame(known, ca);
    const spkiSha256 = certificateSpkiSha256(ca.certificate, 'certificate.malformed');
    try {
      return await this.#database.prismaTransaction(async (tx) => {
        const row = await tx.ca.create({
          data: {
            name: ca.name, parentId: ca.parentId ?? null, state: ca.state, certificate: Uint8Array.from(ca.certificate),
            spkiSha256: Uint8Array.from(spkiSha256), keyId: Uint8Array.from(ca.keyId), notBefore: ca.notBefore, notAfter: ca.notAfter,
          },
        });
        await appendEventByPrisma(tx, event);
        return authorityOf(row);
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      const winner = await this.#find(ca.name);
      if (winner === undefined) throw new PkiError('ceremony.invalid', `the key of the CA ${ca.name} belongs to another CA on record`, { cause: error });
      return requireSame(winner, ca);
    }
  }

  async #find(name: CaName): Promise<CertificationAuthority | undefined> {
    const row = await this.#database.prisma((prisma) => prisma.ca.findUnique({ where: { name } }));
    return row === null ? undefined : authorityOf(row);
  }
}

function requireSame(known: CertificationAuthority, given: Omit<CertificationAuthority, 'id'>): CertificationAuthority {
  if (equalBytes(known.certificate, given.certificate)) return known;
  throw new PkiError('ceremony.invalid', `a CA called ${known.name} is on record with another certificate`);
}

export function authorityOf(row: Ca): CertificationAuthority {
  return {
    id: row.id, name: row.name as CaName, parentId: row.parentId ?? undefined, state: row.state as CaState,
    certificate: row.certificate, keyId: row.keyId, notBefore: row.notBefore, notAfter: row.notAfter,
  };
}
