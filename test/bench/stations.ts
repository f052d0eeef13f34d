// Stations in a process of their own, as they are machines of their own: what the bench does meanwhile does not hold them up.
import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Product } from '../support/product.ts';
import { showing } from './bar.ts';
import { type EcuRequest, ecuRequest, ecuSerialOf } from './requests.ts';
import type { Scratch } from './scratch.ts';

const WARM_UP = 50;

/** What is said to the process: `at` is to be asked, `rest` ends the asking; and what it is told first. */
type Order = { readonly api: string; readonly token: string; readonly bodies: readonly string[] } | { readonly perSecond: number } | 'warm up' | 'rest';

/** Ask for one certificate each, at moments that are fixed beforehand. */
export class Stations {
  readonly #bodies: readonly string[];
  readonly #scratch: Scratch;

  private constructor(scratch: Scratch, bodies: readonly string[]) {
    this.#scratch = scratch;
    this.#bodies = bodies;
  }

  /** Makes `count` requests, and those of the warm-up. */
  static async make(scratch: Scratch, count: number): Promise<Stations> {
    const run = `S${Date.now().toString(36).toUpperCase()}`;
    const bodies: string[] = [];
    await showing(count, 'single requests made', async (onDone) => {
      for (let i = 0; i < count + WARM_UP; i++) {
        bodies.push(bodyOf(await ecuRequest(ecuSerialOf(run, i))));
        onDone(i < count ? 1 : 0);
      }
    });
    return new Stations(scratch, bodies);
  }

  /** Starts their process, which asks for some certificates one after the other: neither side is cold then. */
  async start(product: Product): Promise<RunningStations> {
    const child = fork(fileURLToPath(import.meta.url), ['stations'], { serialization: 'advanced' });
    this.#scratch.defer(() => void child.kill());
    const ended = new Promise<never>((_, reject) => {
      child.once('exit', (status) => reject(new Error(`the process of the stations ended with ${status}`)));
    });
    ended.catch(() => undefined);
    const answer = <T>(): Promise<T> => Promise.race([ended, new Promise<T>((resolve) => child.once('message', (message) => resolve(message as T)))]);
    const say = (order: Order): boolean => child.send(order);
    say({ api: product.api, token: product.token('line'), bodies: this.#bodies });
    say('warm up');
    await answer();
    return {
      async ask(perSecond, until) {
        say({ perSecond });
        const latencies = answer<number[]>();
        await Promise.race([until, latencies]);
        say('rest');
        return latencies;
      },
    };
  }
}

export interface RunningStations {
  /**
   * Until `until` is settled; milliseconds from the moment when each request was due (not from the one when it was sent: a
   * product that holds up its callers must not get fewer requests for it) to its certificate.
   */
  ask(perSecond: number, until: Promise<unknown>): Promise<number[]>;
}

const bodyOf = ({ ecuSerial, partNumber, csr }: EcuRequest): string =>
  JSON.stringify({ profile: 'ecu-client', ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64') });

class Asking {
  readonly #api: string;
  readonly #token: string;
  readonly #bodies: readonly string[];
  readonly #agent = new Agent({ keepAlive: true });
  #next = 0;
  #rests = false;

  constructor({ api, token, bodies }: Extract<Order, { api: string }>) {
    this.#api = api;
    this.#token = token;
    this.#bodies = bodies;
  }

  async warmUp(): Promise<void> {
    for (let i = 0; i < WARM_UP; i++) await this.#send(performance.now());
  }

  rest(): void {
    this.#rests = true;
  }

  async ask(perSecond: number): Promise<number[]> {
    const pending: Promise<number>[] = [];
    const began = performance.now();
    for (let i = 0; !this.#rests; i++) {
      const due = began + (i * 1000) / perSecond;
      await sleep(Math.max(0, due - performance.now()));
      const latency = this.#send(due);
      // It is looked at with all others, at the end.
      latency.catch(() => undefined);
      pending.push(latency);
    }
    return Promise.all(pending);
  }

  async #send(due: number): Promise<number> {
    const body = this.#bodies[this.#next++];
    if (body === undefined) throw new Error('more was asked than requests were made');
    const { status, answer } = await new Promise<{ status: number | undefined; answer: string }>((resolve, reject) => {
      const message = request(`${this.#api}/v1/certificates`, {
        method: 'POST', agent: this.#agent,
        headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      });
      message.once('error', reject);
      message.once('response', (response) => void text(response).then((said) => resolve({ status: response.statusCode, answer: said }), reject));
      message.end(body);
    });
    if (status !== 201) throw new Error(`POST /v1/certificates answered ${status}: ${answer}`);
    return performance.now() - due;
  }
}

if (process.argv[2] === 'stations') {
  let asking: Asking | undefined;
  process.once('disconnect', () => process.exit(1));
  process.on('message', (order: Order) => {
    if (order === 'rest') asking?.rest();
    else if (order === 'warm up') void asking?.warmUp().then(() => process.send?.('warm'));
    else if ('api' in order) asking = new Asking(order);
    else void asking?.ask(order.perSecond).then((latencies) => process.send?.(latencies));
  });
}
