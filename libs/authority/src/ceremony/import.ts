import { createHash } from 'node:crypto';
import { type Clock, PkiError, toHex } from '@fleetroot/core';
import type { AuthorityLedger, CertificationAuthority } from '../ports/authorities.ts';
import type { HeldAuthority } from './ceremony.ts';

/**
 * Records the CAs of a ceremony in the ledger, parents first, as active. Those on record already stay as they are.
 * @param actor as AuditEvent has it
 */
export async function importAuthorities(
  ledger: AuthorityLedger, held: readonly HeldAuthority[], actor: string, clock: Clock,
): Promise<readonly CertificationAuthority[]> {
  const imported = new Map<string, CertificationAuthority>();
  for (const { parent, ...authority } of held) {
    const above = parent === undefined ? undefined : imported.get(parent);
    if (parent !== undefined && above === undefined) throw new PkiError('ca.not-found', `the parent of ${authority.name} must be imported with it`);
    imported.set(authority.name, await ledger.add({ ...authority, parentId: above?.id, state: 'active' }, {
      action: 'ca.imported', actor, at: clock.now(), subject: `ca:${authority.name}`,
      data: {
        parent: parent ?? null, keyId: toHex(authority.keyId),
        certificateSha256: createHash('sha256').update(authority.certificate).digest('hex'),
      },
    }));
  }
  return [...imported.values()];
}
