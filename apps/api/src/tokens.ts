/** Names under which Nest's injector knows what it did not make itself. */
export const LEDGER = Symbol('Ledger');
export const CLOCK = Symbol('Clock');
export const CLOSING = Symbol('AbortSignal that says that the process closes');
export const BODY_PACE = Symbol('Pace of a streamed batch');
/** How many must agree to a revocation of so many. */
export const APPROVAL_RULES = Symbol('approval-rules');
