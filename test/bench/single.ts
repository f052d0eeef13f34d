import type { Product } from '../support/product.ts';
import { measureBatch, partRows, warmUpRequests } from './batch.ts';
import { othersShare } from './cpu-accounting.ts';
import { showing } from './bar.ts';
import { start } from './installation.ts';
import { percentile, print, type Result } from './report.ts';
import { makeRequests } from './request-file.ts';
import { type EcuRequest, ecuRequest, ecuSerialOf } from './requests.ts';
import type { Scratch } from './scratch.ts';

const P99_GOAL_MS = 100;
const FIRST_REQUESTS = 50;
/** Seconds for which requests are made beforehand where nobody knows how long it takes; later ones are made as they are due. */
const AHEAD_SECONDS = 60;

/** `bench single`: POST /v1/certificates at a steady rate, as stations ask for one certificate each. */
export async function benchSingle(scratch: Scratch, perSecond: number, seconds: number, issuers: number): Promise<void> {
  const stations = await Stations.make(perSecond * seconds);
  const { product, stop } = await start(scratch, { issuers });
  await stations.warmUp(product);
  const began = performance.now();
  const latencies = await stations.ask(product, perSecond, () => performance.now() - began >= seconds * 1000);
  const took = (performance.now() - began) / 1000;
  await stop();
  print('single', rows(latencies, perSecond, took), { perSecond, seconds, issuers });
}

/** `bench single --during-batch`: the same, from the first octet of a batch to its last certificate. */
export async function benchSingleDuringBatch(scratch: Scratch, perSecond: number, items: number, issuers: number): Promise<void> {
  const warmUp = await warmUpRequests(scratch, issuers);
  const requests = await makeRequests(scratch, items);
  const stations = await Stations.make(perSecond * AHEAD_SECONDS);
  const { product, stop } = await start(scratch, { issuers });
  await measureBatch(product, warmUp);
  await stations.warmUp(product);
  const began = Promise.withResolvers<void>();
  let ended = false;
  const batch = measureBatch(product, requests, {
    onBegin: began.resolve,
    onEnd: () => {
      ended = true;
    },
  });
  batch.catch((error: unknown) => began.reject(error));
  await began.promise;
  const latencies = await stations.ask(product, perSecond, () => ended);
  const { perSecond: rate, seconds, receivedAfter, cpu } = await batch;
  await stop();
  print('single during a batch', [
    ...rows(latencies, perSecond, seconds, P99_GOAL_MS),
    { name: `the batch of ${items} beside them`, value: rate, unit: '1/s' },
    { name: 'batch received after', value: receivedAfter, unit: 's' },
    { name: 'last certificate after', value: seconds, unit: 's' },
    { name: 'other work on the machine, part of all processors', value: othersShare(cpu), unit: '' },
    ...partRows(cpu, items),
  ], { perSecond, items, issuers });
}

function rows(latencies: readonly number[], offered: number, seconds: number, goal?: number): Result[] {
  const sorted = latencies.toSorted((a, b) => a - b);
  return [
    { name: 'offered', value: offered, unit: '1/s' },
    { name: 'answered', value: sorted.length / seconds, unit: '1/s' },
    { name: 'requests', value: sorted.length, unit: '' },
    { name: 'p50', value: percentile(sorted, 50), unit: 'ms' },
    { name: 'p99', value: percentile(sorted, 99), unit: 'ms', ...(goal === undefined ? {} : { goal }) },
    { name: 'slowest', value: sorted.at(-1) ?? Number.NaN, unit: 'ms' },
  ];
}

/** Ask for one certificate each, at moments that are fixed beforehand. */
class Stations {
  readonly #run = `S${Date.now().toString(36).toUpperCase()}`;
  readonly #made: EcuRequest[] = [];
  #next = 0;

  /** Makes `count` requests, and those of the warm-up. */
  static async make(count: number): Promise<Stations> {
    const stations = new Stations();
    await showing(count, 'single requests made', async (onDone) => {
      for (let i = 0; i < count + FIRST_REQUESTS; i++) {
        stations.#made.push(await ecuRequest(ecuSerialOf(stations.#run, i)));
        onDone(i < count ? 1 : 0);
      }
    });
    return stations;
  }

  async warmUp(product: Product): Promise<void> {
    for (let i = 0; i < FIRST_REQUESTS; i++) await this.#send(product, performance.now());
  }

  /**
   * Until `ended`; milliseconds from the moment when each request was due (not from the one when it was sent: a product
   * that holds up its callers must not get fewer requests for it) to its certificate.
   */
  async ask(product: Product, perSecond: number, ended: () => boolean): Promise<number[]> {
    const pending: Promise<number>[] = [];
    const began = performance.now();
    for (let i = 0; !ended(); i++) {
      const due = began + (i * 1000) / perSecond;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      const latency = this.#send(product, due);
      // It is looked at with all others, at the end.
      latency.catch(() => undefined);
      pending.push(latency);
    }
    return Promise.all(pending);
  }

  async #send(product: Product, due: number): Promise<number> {
    const place = this.#next++;
    const { ecuSerial, partNumber, csr } = this.#made[place] ?? await ecuRequest(ecuSerialOf(this.#run, place));
    const answer = await product.json('POST', '/v1/certificates', 'line', {
      profile: 'ecu-client', ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64'),
    });
    if (answer.status !== 201) throw new Error(`POST /v1/certificates answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return performance.now() - due;
  }
}
