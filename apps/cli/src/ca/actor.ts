import { userInfo } from 'node:os';

/** Who works at the command line, as AuditEvent has it. */
export const cliActor = (): string => `cli:${userInfo().username}`;
