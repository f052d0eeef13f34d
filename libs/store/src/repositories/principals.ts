import type { Principal, PrincipalLedger, Role } from '@fleetroot/access';
import type { AuditEvent } from '@fleetroot/audit';
import { appendEventByPrisma } from '../audit-log.ts';
import type { Database } from '../database.ts';
import type { Principal as PrincipalRow } from '../generated/client.ts';

interface TokenRow {
  readonly id: number;
  readonly name: string;
  readonly roles: string[];
  readonly authorities: string[];
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly disabled_at: Date | null;
}

export class PrismaPrincipalLedger implements PrincipalLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async byTokenSha256(hash: Uint8Array): Promise<Principal | undefined> {
    // Asked with each request, hence not by way of Prisma, whose statements are planned each time.
    const [row] = await this.#database.query<TokenRow>(
      'SELECT id, name, roles, authorities, created_at, expires_at, disabled_at FROM principal WHERE token_sha256 = $1', [hash]);
    if (row === undefined) return undefined;
    const { created_at: createdAt, expires_at: expiresAt, disabled_at: disabledAt, ...same } = row;
    return principalOf({ ...same, createdAt, expiresAt, disabledAt });
  }

  async all(): Promise<readonly Principal[]> {
    return (await this.#database.prisma((prisma) => prisma.principal.findMany({ orderBy: { id: 'asc' } }))).map(principalOf);
  }

  put(
    name: string, roles: readonly Role[], tokenSha256: Uint8Array, expiresAt: Date | undefined, event: AuditEvent, authorities?: readonly string[],
  ): Promise<Principal> {
    const held = {
      roles: [...roles], tokenSha256: Uint8Array.from(tokenSha256), expiresAt: expiresAt ?? null,
      ...(authorities === undefined ? {} : { authorities: [...authorities] }),
    };
    return this.#database.prismaTransaction(async (tx) => {
      // With every unique field of one kind in `where` and the same value in `create`, this is one INSERT ON CONFLICT.
      const row = await tx.principal.upsert({ where: { name }, create: { name, ...held }, update: { ...held, disabledAt: null } });
      await appendEventByPrisma(tx, event);
      return principalOf(row);
    });
  }
}

function principalOf(row: Omit<PrincipalRow, 'tokenSha256'>): Principal {
  return {
    id: row.id, name: row.name, roles: row.roles as Role[], authorities: row.authorities, createdAt: row.createdAt,
    expiresAt: row.expiresAt ?? undefined, disabledAt: row.disabledAt ?? undefined,
  };
}
