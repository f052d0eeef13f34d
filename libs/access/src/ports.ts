import type { AuditEvent } from '@fleetroot/audit';
import type { Role } from './roles.ts';

export interface Principal {
  readonly id: number;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly createdAt: Date;
  readonly expiresAt: Date | undefined;
  readonly disabledAt: Date | undefined;
}

export interface PrincipalLedger {
  byTokenSha256(hash: Uint8Array): Promise<Principal | undefined>;
  all(): Promise<readonly Principal[]>;
  /** The principal of that name, with this token and these roles from now on; an older token ends. */
  put(name: string, roles: readonly Role[], tokenSha256: Uint8Array, expiresAt: Date | undefined, event: AuditEvent): Promise<Principal>;
}
