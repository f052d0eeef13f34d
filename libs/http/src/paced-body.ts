import { PkiError } from '@fleetroot/core';
import type { Readable } from 'node:stream';

export interface Pace {
  /** How long a sender may keep us waiting in all, in milliseconds; what it sends restores that, up to this much. */
  readonly graceMs: number;
  /** The octets that restore a second. */
  readonly octetsPerSecond: number;
}

/**
 * The chunks of a streamed body, from a sender that keeps up a pace: the time in which we were waiting for it counts,
 * the time in which it was waiting for us does not. Leaving early does not close the connection, so that the sender can
 * be told why.
 * @throws PkiError `http.timeout` where the sender is too slow, `http.body-invalid` where it went away
 */
export async function* pacedBody(body: Readable, pace: Pace): AsyncGenerator<Buffer> {
  const chunks = body.iterator({ destroyOnReturn: false });
  let patience = pace.graceMs;
  for (;;) {
    const began = performance.now();
    const { done, value } = (await within(chunks.next(), patience)) as IteratorResult<Buffer, undefined>;
    if (done === true) return;
    patience = Math.min(pace.graceMs, patience - (performance.now() - began) + (value.length * 1000) / pace.octetsPerSecond);
    yield value;
  }
}

async function within<T>(next: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PkiError('http.timeout', 'the body arrives too slowly')), Math.max(ms, 0));
  });
  try {
    return await Promise.race([next.catch((cause: unknown) => {
      throw new PkiError('http.body-invalid', 'the connection ended before the body did', { cause });
    }), late]);
  } finally {
    clearTimeout(timer);
  }
}
