import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

interface Described<L extends string> {
  /** `fleetroot_` and the unit at the end: `fleetroot_sign_seconds`, `fleetroot_certificates_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
}

/** The metrics of one process, with its memory, CPU, garbage collection and event loop lag among them. */
export class Metrics {
  /** Of the text that `render` gives. */
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #collectors: (() => void | Promise<void>)[] = [];

  constructor(role: string) {
    this.contentType = this.#registry.contentType;
    this.#registry.setDefaultLabels({ role });
    collectDefaultMetrics({ register: this.#registry });
  }

  counter<L extends string>(of: Described<L>): Counter<L> {
    return new Counter({ name: of.name, help: of.help, labelNames: of.labels ?? [], registers: [this.#registry] });
  }

  /** `collect` is called at each scrape, to set the value then. */
  gauge<L extends string>(of: Described<L> & { readonly collect?: (gauge: Gauge<L>) => void | Promise<void> }): Gauge<L> {
    const collect = of.collect;
    return new Gauge<L>({
      name: of.name, help: of.help, labelNames: of.labels ?? [], registers: [this.#registry],
      ...(collect === undefined ? {} : { collect(this: Gauge<L>) { return collect(this); } }),
    });
  }

  /** Buckets are upper bounds in the metric's own unit, ascending. */
  histogram<L extends string>(of: Described<L> & { readonly buckets: readonly number[] }): Histogram<L> {
    return new Histogram({
      name: of.name, help: of.help, labelNames: of.labels ?? [], buckets: [...of.buckets], registers: [this.#registry],
    });
  }

  /** `collect` is called at each scrape, before any metric is read: for what sets several at once. */
  beforeScrape(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect);
  }

  /** Prometheus' text format. */
  async render(): Promise<string> {
    await Promise.all(this.#collectors.map(async (collect) => collect()));
    return this.#registry.metrics();
  }
}
