/** A statement, and a wait for a lock, that takes longer is a fault, and ended by PostgreSQL. In milliseconds. */
export const STATEMENT_WITHIN_MS = 10_000;
/** From the first row on that tells when it changed until COMMIT is sent; a transaction that takes longer is rolled back. */
export const COMMIT_WITHIN_MS = 15_000;
/** The clocks of a process that signs and of the database are no further apart, or nothing is signed (I24). */
export const CLOCKS_WITHIN_MS = 5_000;

/**
 * A row that says when it changed (`revocation.changed_at`, `released_at`, `burned_serial.burned_at`) may become visible so
 * much later, in milliseconds: it has the time of its statement, and nobody sees it before its transaction is committed.
 * Whoever goes by these times looks again from so long before the last look on, or lists so much more.
 *
 * Which may take that long: a page of a revocation job, or a burned chunk, that waits for the lock of the audit chain, and
 * then for the disk. What bounds it: COMMIT is sent within `COMMIT_WITHIN_MS` (`Transaction.commitsSoon` of libs/store) and is
 * itself a statement; a CRL's thisUpdate is of another clock than the rows.
 */
export const LATE_COMMIT_MS = COMMIT_WITHIN_MS + STATEMENT_WITHIN_MS + CLOCKS_WITHIN_MS;
