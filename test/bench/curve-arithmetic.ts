/** One measurement with so many issuers; nothing but issuance ran in it. */
export interface CurvePoint {
  readonly certificates: number;
  /** From the batch's acceptance to its last chunk's end. */
  readonly seconds: number;
  /** Of each issuer's main thread within those, in seconds. */
  readonly mainThreads: readonly { readonly ran: number; readonly waitedForProcessor: number }[];
}

export interface CurveFigures {
  /** Certificates a second, as it was. */
  readonly asItIs: number;
  /**
   * The same without the time in which an issuer's main thread was ready to compute and no processor was free for it: what
   * the issuers would do if each had a processor of its own. All other waiting stays in, be it for PostgreSQL, the HSM or
   * the queue, and these had to share processors: so it is not the most that is possible.
   */
  readonly discounted: number;
  /** If the main threads never waited for anything: the upper bound of `discounted`. */
  readonly bound: number;
  /** Microseconds of an issuer's main thread for a certificate: what grows here with more issuers is the price of sharing. */
  readonly mainThreadMicros: number;
}

export function curveFigures({ certificates, seconds, mainThreads }: CurvePoint): CurveFigures {
  const count = mainThreads.length;
  const ran = mainThreads.reduce((sum, thread) => sum + thread.ran, 0);
  // Issuers share one batch by chunks and end together: each did its part within `seconds`, so their mean counts.
  const waited = mainThreads.reduce((sum, thread) => sum + thread.waitedForProcessor, 0) / count;
  return {
    asItIs: certificates / seconds,
    discounted: certificates / (seconds - waited),
    bound: (count * certificates) / ran,
    mainThreadMicros: (ran * 1e6) / certificates,
  };
}
