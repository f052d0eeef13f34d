/** One thing that is done again and again, by one worker however many there are. */
export interface Task {
  readonly name: string;
  readonly everyMs: number;
  /** A heartbeat is each worker's own; all else is the leader's. */
  readonly runsOn: 'leader' | 'each';
  /**
   * Does what is due now. May be cut off anywhere and done twice at once for a moment (a leader that was frozen):
   * whatever it does must bear that. `signal` aborts once the lead is lost, or the
   * process is to end; look at it between pages.
   */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Does the work for each in turn until `signal` aborts. One that fails keeps no other; the first failure is thrown in the
 * end.
 */
export async function oneByOne<T>(items: readonly T[], signal: AbortSignal, work: (item: T) => Promise<void>): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  for (const item of items) {
    if (signal.aborted) return;
    try {
      await work(item);
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}
