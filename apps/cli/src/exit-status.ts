/** What a script sees of each command. */
export const exitStatus = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** A check ran, and found something. */
  found: 3,
  /** A ceremony lacks approvals: nothing was signed, and the same command goes on later. */
  unapproved: 3,
} as const;
