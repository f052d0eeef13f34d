import type { Principal, PrincipalLedger } from './ports.ts';
import { tokenSha256 } from './token.ts';

/**
 * Whose token it is; undefined where it is not of the form, unknown, expired at `now`, or of somebody disabled: the
 * caller learns no more than that it is not accepted. Asks the ledger each time, so that an end is an end at once.
 */
export async function principalOfToken(token: string, principals: PrincipalLedger, now: Date): Promise<Principal | undefined> {
  const hash = tokenSha256(token);
  if (hash === undefined) return undefined;
  const principal = await principals.byTokenSha256(hash);
  if (principal === undefined || principal.disabledAt !== undefined) return undefined;
  return principal.expiresAt !== undefined && principal.expiresAt <= now ? undefined : principal;
}
