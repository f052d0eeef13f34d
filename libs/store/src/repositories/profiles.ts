import { createHash } from 'node:crypto';
import type { ProfileLedger, ProfileVersionRecord } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';
import type { Database } from '../database.ts';

export class PrismaProfileLedger implements ProfileLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async ensure(name: string, document: string): Promise<ProfileVersionRecord> {
    // Name and document: two profiles of the same content are two versions.
    const sha256 = Uint8Array.from(createHash('sha256').update(`${name}\0${document}`).digest());
    return this.#database.prisma(async (prisma) => {
      const known = await prisma.profileVersion.findUnique({ where: { sha256 } });
      if (known !== null) return known;
      await prisma.profileVersion.createMany({ data: { name, document, sha256 }, skipDuplicates: true });
      return prisma.profileVersion.findUniqueOrThrow({ where: { sha256 } });
    });
  }

  async byId(id: number): Promise<ProfileVersionRecord> {
    const row = await this.#database.prisma((prisma) => prisma.profileVersion.findUnique({ where: { id } }));
    if (row === null) throw new PkiError('profile.not-found', `no version ${id} of a profile is on record`);
    return row;
  }
}
