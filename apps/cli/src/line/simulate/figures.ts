import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Latencies in milliseconds. */
interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface StationReport {
  /** From 1; undefined: all of them. */
  readonly station?: number;
  readonly cars: number;
  /** Certificates that came and were good. */
  readonly certificates: number;
  /** null: nothing was measured. */
  readonly latency: Latency | null;
  /** Cars whose last certificate came after the next car, or not at all. */
  readonly missedTakts: number;
  /** How many requests went wrong, by code. */
  readonly errors: Readonly<Record<string, number>>;
}

/** An hour; what takes longer counts as that. */
const LONGEST_US = 3_600_000_000;

/** What one station sees; memory does not grow with the run. */
export class Figures {
  readonly #latency: RecordableHistogram = createHistogram({ lowest: 1, highest: LONGEST_US, figures: 3 });
  readonly #errors = new Map<string, number>();
  #certificates = 0;
  #cars = 0;
  #missed = 0;

  certificate(ms: number): void {
    this.#certificates += 1;
    this.#latency.record(Math.min(LONGEST_US, Math.max(1, Math.round(ms * 1000))));
  }

  error(code: string, number = 1): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + number);
  }

  car(missed: boolean): void {
    this.#cars += 1;
    if (missed) this.#missed += 1;
  }

  /** Adds what another station saw. */
  add(other: Figures): void {
    this.#latency.add(other.#latency);
    for (const [code, number] of other.#errors) this.error(code, number);
    this.#certificates += other.#certificates;
    this.#cars += other.#cars;
    this.#missed += other.#missed;
  }

  report(station?: number): StationReport {
    const at = (percent: number): number => this.#latency.percentile(percent) / 1000;
    return {
      ...(station === undefined ? {} : { station }), cars: this.#cars, certificates: this.#certificates, missedTakts: this.#missed,
      latency: this.#latency.count === 0 ? null : { p50: at(50), p90: at(90), p99: at(99), max: this.#latency.max / 1000 },
      errors: Object.fromEntries(this.#errors),
    };
  }
}

/** A table as people read it. */
export function table(rows: readonly StationReport[]): string[] {
  const ms = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(value < 100 ? 1 : 0)).padStart(9);
  const head = `  ${'station'.padEnd(8)}${['cars', 'certs', 'p50 ms', 'p90 ms', 'p99 ms', 'max ms', 'missed'].map((title) => title.padStart(9)).join('')}  errors`;
  return [head, ...rows.map(({ station, cars, certificates, latency, missedTakts, errors }) => {
    const wrong = Object.entries(errors).map(([code, number]) => `${code} ${number}`).join(', ');
    const figures = [latency?.p50, latency?.p90, latency?.p99, latency?.max].map(ms).join('');
    return `  ${(station === undefined ? 'all' : String(station)).padEnd(8)}${String(cars).padStart(9)}${String(certificates).padStart(9)}${figures}${String(missedTakts).padStart(9)}  ${wrong}`.trimEnd();
  })];
}
