/** BullMQ's greatest priority: 2^21 - 1. */
export const GREATEST_PRIORITY = 2 ** 21 - 1;

/** The chunks that wait or are in work when a batch is accepted, of its own purpose and priority. */
export interface OpenTurns {
  /** The least turn of them; undefined: there are none. */
  readonly least: number | undefined;
  /** The greatest of those of the batch's own principal; undefined: there are none. */
  readonly greatestOwn: number | undefined;
}

/**
 * The turn of a batch's first chunk; each that follows has the next one. Of all chunks that wait the one with the least
 * turn is issued first, which is start-time fair queueing with chunks of one size: a line that comes late begins where the
 * others are now, and takes turns with them from there on, and what a line sent before counts against it alone. Nobody
 * waits for ever: a chunk waits for no chunk of a greater turn, and nobody gets a turn below the least of those that wait.
 */
export function firstTurn({ least, greatestOwn }: OpenTurns): number {
  return Math.max(least ?? 0, greatestOwn === undefined ? 0 : greatestOwn + 1);
}
