// Many clients in one process of its own: octets that are ready beforehand into kept connections, answers looked at as
// little as possible.
import { fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Scratch } from './scratch.ts';

export interface Load {
  readonly port: number;
  /** Whole HTTP/1.1 requests, asked in turn. */
  readonly requests: readonly Uint8Array[];
  readonly connections: number;
  readonly seconds: number;
  /** A second, at moments that are fixed beforehand; absent: each connection asks as soon as it is answered. */
  readonly rate?: number;
  /** The server ends each connection after one answer, as `openssl ocsp` does. */
  readonly oneEach?: boolean;
}

export interface LoadFigures {
  readonly perSecond: number;
  readonly answers: number;
  /** Answers that are not of status 200, or hold no more than an error. */
  readonly failed: number;
  /** Milliseconds, ascending; from the moment a request was due where there is a rate, else from when it was sent. */
  readonly latencies: readonly number[];
}

/** An OCSP response that says no more than an error has 5 octets. */
const LEAST_OCTETS = 6;

export function load(scratch: Scratch, task: Load): Promise<LoadFigures> {
  const child = fork(fileURLToPath(import.meta.url), ['http-load'], { serialization: 'advanced' });
  scratch.defer(() => void child.kill());
  return new Promise((resolve, reject) => {
    child.once('message', (figures) => resolve(figures as LoadFigures));
    child.once('exit', (status) => reject(new Error(`the process that asks ended with ${status}`)));
    child.send(task);
  });
}

/** One client: it asks, and asks again when it has its answer. */
class Client {
  readonly #port: number;
  readonly #oneEach: boolean;
  readonly #onAnswer: (client: Client, ok: boolean, milliseconds: number) => void;
  #socket: Socket | undefined;
  /** When what it asks was due, or sent; undefined: it rests. */
  #since: number | undefined;
  #received: Buffer = Buffer.alloc(0);

  constructor({ port, oneEach = false }: Load, onAnswer: (client: Client, ok: boolean, milliseconds: number) => void) {
    this.#port = port;
    this.#oneEach = oneEach;
    this.#onAnswer = onAnswer;
  }

  get rests(): boolean {
    return this.#since === undefined;
  }

  ask(request: Uint8Array, since: number): void {
    this.#since = since;
    if (this.#socket === undefined) {
      this.#socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
      this.#socket.on('data', (data: Buffer) => this.#take(data));
      this.#socket.on('error', (error) => { throw error; });
    }
    this.#socket.write(request);
  }

  end(): void {
    this.#socket?.destroy();
  }

  #take(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    const answer = wholeAnswer(this.#received);
    if (answer === undefined || this.#since === undefined) return;
    this.#received = this.#received.subarray(answer.octets);
    const took = performance.now() - this.#since;
    this.#since = undefined;
    if (this.#oneEach) {
      this.#socket?.destroy();
      this.#socket = undefined;
      this.#received = Buffer.alloc(0);
    }
    this.#onAnswer(this, answer.ok, took);
  }
}

async function ask(task: Load): Promise<LoadFigures> {
  const { requests, connections, seconds, rate } = task;
  const latencies: number[] = [];
  const due: number[] = [];
  let failed = 0;
  let next = 0;
  let ended = false;
  const send = (client: Client, since: number): void => client.ask(requests[next++ % requests.length]!, since);
  const clients = Array.from({ length: connections }, () => new Client(task, (client, ok, milliseconds) => {
    if (ended) return;
    latencies.push(milliseconds);
    if (!ok) failed++;
    const waiting = due.shift();
    if (waiting !== undefined) send(client, waiting);
    else if (rate === undefined) send(client, performance.now());
  }));
  const began = performance.now();
  const end = began + seconds * 1000;
  if (rate === undefined) for (const client of clients) send(client, performance.now());
  else {
    for (let i = 0, at = began; at < end; i++, at = began + (i * 1000) / rate) {
      while (performance.now() < at) await (at - performance.now() > 2 ? sleep(1) : breathe());
      const free = clients.find(({ rests }) => rests);
      if (free === undefined) due.push(at);
      else send(free, at);
    }
  }
  while (performance.now() < end) await sleep(5);
  ended = true;
  const took = (performance.now() - began) / 1000;
  for (const client of clients) client.end();
  return { perSecond: latencies.length / took, answers: latencies.length, failed, latencies: latencies.toSorted((a, b) => a - b) };
}

/** What `received` begins with; undefined: it is not whole. */
function wholeAnswer(received: Buffer): { readonly octets: number; readonly ok: boolean } | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const head = received.toString('latin1', 0, end);
  const given = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (given === null) throw new Error(`an answer does not tell its length: ${head}`);
  const octets = end + 4 + Number(given[1]);
  return received.length < octets ? undefined : { octets, ok: /^HTTP\/1\.[01] 200/.test(head) && Number(given[1]) >= LEAST_OCTETS };
}

if (process.argv[2] === 'http-load') {
  process.once('message', (task) => {
    process.once('disconnect', () => process.exit(1));
    void ask(task as Load).then((figures) => process.send?.(figures, () => process.exit(0)));
  });
}
