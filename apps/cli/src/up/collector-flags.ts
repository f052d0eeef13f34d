import type { RoleName } from './environment.ts';

/** api, status, worker: a process each. */
export const ROLES_BESIDE_ISSUERS = 3;
/** Each half of the memory for young objects, at most and at first, in MiB: what a chunk in work needs dies there. */
const YOUNG_MIB = 24;
const YOUNG_AT_FIRST_MIB = 16;

/**
 * Flags of V8 for the garbage collector of a role, of `roles` processes on `processors`. The collector's helper threads shorten
 * a pause where processors are idle; where each has a process of its own to run they queue behind all of them, and the thread
 * that collects waits for the last: tens of milliseconds in which a role answers nobody. There it collects alone. Not so in the
 * status app, whose questions come while processors rest, and whose heap is marked beside them.
 */
export const collectorFlags = (role: RoleName, roles: number, processors: number): readonly string[] => [
  `--min-semi-space-size=${YOUNG_AT_FIRST_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`,
  ...(role !== 'status' && processors <= roles ? ['--single-threaded-gc'] : []),
];
