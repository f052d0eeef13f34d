import { type CrashPoint, PkiError } from '@fleetroot/core';

/** Thrown where a process would be no more. */
export class Death extends Error {
  readonly point: CrashPoint;

  constructor(point: CrashPoint) {
    super(`died at ${point}`);
    this.point = point;
  }
}

const ARMED = Symbol.for('fleetroot.crash-point');

/** A life that can end at a crash point of the code that runs in this very process. */
export class Life {
  #over = false;
  #order: { readonly point: CrashPoint; left: number } | undefined;

  /** From now on arrivals at crash points are this life's. */
  begin(): void {
    (globalThis as { [ARMED]?: (point: CrashPoint) => void })[ARMED] = (point) => {
      if (this.#over) throw new Death(point);
      if (this.#order?.point !== point || --this.#order.left > 0) return;
      this.#over = true;
      throw new Death(point);
    };
  }

  /** It ends at its `nth` arrival at the point. */
  order(point: CrashPoint, nth: number): void {
    this.#order = { point, left: nth };
  }

  withdraw(): void {
    this.#order = undefined;
  }

  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
    delete (globalThis as { [ARMED]?: unknown })[ARMED];
  }

  /** The part as it is to this life: once that is over nothing can be asked of it, so no clean-up of the dead reaches the living. */
  of<T extends object>(part: T): T {
    return new Proxy(part, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => {
          if (this.#over) throw new PkiError('store.unavailable', 'this process is dead');
          return (value as (...given: unknown[]) => unknown).apply(target, given);
        };
      },
    });
  }
}
