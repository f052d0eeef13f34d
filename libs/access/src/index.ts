export type { Principal, PrincipalLedger } from './ports.ts';
export { type Role, roles } from './roles.ts';
export { newToken, tokenSha256 } from './token.ts';
