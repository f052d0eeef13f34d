import { newToken, type PrincipalLedger, type Role, tokenSha256 } from '@fleetroot/access';
import { type Clock, PkiError, type RandomBytes } from '@fleetroot/core';
import type { DataDir } from '../data-dir/layout.ts';
import { ensureSecret } from '../data-dir/secret-file.ts';

/** Who has a token in the data folder: one for each role, to begin with. */
const people = ['admin', 'line', 'security', 'gateway', 'auditor'] as const satisfies readonly Role[];

/** The product's own processes, as principals of what they submit. Nobody can come as one of them. */
const processes = ['api', 'worker'] as const;

/**
 * Puts the first principals on record, so that their tokens in `secrets/NAME.token` are valid. A token that is on
 * record already stays as it is.
 */
export async function ensurePrincipals(ledger: PrincipalLedger, dir: DataDir, clock: Clock, random: RandomBytes): Promise<void> {
  const known = new Set((await ledger.all()).map((principal) => principal.name));
  const put = async (name: string, role: Role, token: string): Promise<void> => {
    const hash = tokenSha256(token);
    if (hash === undefined) throw new PkiError('setup.failed', `${dir.secret(`${name}.token`)} holds no token: delete the file, and start again for a new one`);
    if (known.has(name) && (role === 'system' || (await ledger.byTokenSha256(hash)) !== undefined)) return;
    const event = { action: 'principal.created', actor: 'system:bring-up', at: clock.now(), subject: `principal:${name}`, data: { roles: [role] } } as const;
    await ledger.put(name, [role], hash, undefined, event);
  };
  for (const name of people) await put(name, name, ensureSecret(dir.secret(`${name}.token`), () => newToken(random)));
  // A token that nobody keeps.
  for (const name of processes) await put(name, 'system', newToken(random));
}
