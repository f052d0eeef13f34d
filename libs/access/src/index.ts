export type { Principal, PrincipalLedger } from './ports.ts';
export { principalOfToken } from './authenticate.ts';
export { isPrincipalName } from './principal-name.ts';
export { type Role, roles } from './roles.ts';
export { newToken, tokenSha256 } from './token.ts';
