/**
 * admin: CAs, profiles, suppliers, tokens. security: revokes. line: submits and reads requests of a production line.
 * gateway: pulls truststores, asks whether clients are to be let in. auditor: reads everything, changes nothing. system: the product's own processes.
 */
export const roles = ['admin', 'security', 'line', 'gateway', 'auditor', 'system'] as const;

export type Role = (typeof roles)[number];
