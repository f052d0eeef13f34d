import type { Role } from '@fleetroot/access';
import { Roles as httpRoles } from '@fleetroot/http';

/** The roles that may call a route. */
export function Roles(...roles: readonly Role[]): ReturnType<typeof httpRoles> {
  return httpRoles(...roles);
}
