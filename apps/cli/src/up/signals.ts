/**
 * npm hands a Ctrl-C on to its child, which the terminal has told already: a signal that follows so closely is the
 * same wish.
 */
const SAME_WISH_MS = 1000;

export interface StopWish {
  /** Aborts at the first wish to stop. */
  readonly signal: AbortSignal;
  /** Forgets the handlers. */
  dispose(): void;
}

/** Ctrl-C, SIGTERM, and the terminal that closes. A second wish calls `hurry`. */
export function stopWish(hurry: () => void): StopWish {
  const controller = new AbortController();
  let first: number | undefined;
  const onSignal = (): void => {
    const now = performance.now();
    if (first === undefined) {
      first = now;
      controller.abort();
    } else if (now - first > SAME_WISH_MS) hurry();
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
