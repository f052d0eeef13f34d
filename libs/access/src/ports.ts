import type { AuditEvent } from '@fleetroot/audit';
import type { Role } from './roles.ts';

export interface Principal {
  readonly id: number;
  readonly name: string;
  readonly roles: readonly Role[];
  /**
   * Names of the CAs, in any generation, that it may have certificates issued by. None: the installation's issuing CA
   * alone.
   */
  readonly authorities: readonly string[];
  readonly createdAt: Date;
  readonly expiresAt: Date | undefined;
  readonly disabledAt: Date | undefined;
}

export interface PrincipalLedger {
  byTokenSha256(hash: Uint8Array): Promise<Principal | undefined>;
  all(): Promise<readonly Principal[]>;
  /**
   * The principal of that name, with this token and these roles from now on; an older token ends.
   * @param authorities undefined: those on record stay
   */
  put(
    name: string, roles: readonly Role[], tokenSha256: Uint8Array, expiresAt: Date | undefined, event: AuditEvent,
    authorities?: readonly string[],
  ): Promise<Principal>;
}
