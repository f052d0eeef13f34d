/** Each half of the memory for young objects, at most and at first, in MiB: what a chunk in work needs dies there. */
const YOUNG_MIB = 24;
const YOUNG_AT_FIRST_MIB = 16;

/**
 * Flags of V8 for the garbage collector of each of `roles` processes on `processors`. Its helper threads shorten a pause where
 * processors are idle; where each has a process of its own to run they queue behind all of them, and the thread that collects
 * waits for the last: tens of milliseconds in which a role answers nobody. There it collects alone.
 */
export const collectorFlags = (roles: number, processors: number): readonly string[] => [
  `--min-semi-space-size=${YOUNG_AT_FIRST_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`, ...(processors <= roles ? ['--single-threaded-gc'] : []),
];
