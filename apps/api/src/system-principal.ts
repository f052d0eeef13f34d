import { newToken, type PrincipalLedger, tokenSha256 } from '@fleetroot/access';
import { type Clock, PkiError, systemRandom } from '@fleetroot/core';

export interface SystemPrincipal {
  readonly id: number;
  readonly name: string;
}

/** The principal that the api itself submits as. Made where it is missing; nobody ever holds its token. */
export async function systemPrincipal(principals: PrincipalLedger, name: string, clock: Clock): Promise<SystemPrincipal> {
  const known = (await principals.all()).find((principal) => principal.name === name);
  if (known !== undefined) {
    if (!known.roles.includes('system')) throw new PkiError('config.invalid', `the principal "${name}" belongs to the product itself: give its token holder another name`);
    return known;
  }
  const hash = tokenSha256(newToken(systemRandom));
  if (hash === undefined) throw new PkiError('internal', 'a new token is not of the form of tokens');
  return principals.put(name, ['system'], hash, undefined, {
    action: 'principal.created', actor: `system:${name}`, at: clock.now(), subject: `principal:${name}`, data: { roles: ['system'] },
  });
}
