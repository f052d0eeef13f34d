// Many clients in one process of its own: octets that are ready beforehand into kept connections, answers looked at as
// little as possible. It shares the processors with what it measures.
import { type ChildProcess, fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { AnswerReader } from './http-answer.ts';
import { Latencies } from './latencies.ts';
import type { Scratch } from './scratch.ts';

export interface Load {
  readonly port: number;
  /** Whole HTTP/1.1 requests, asked in turn. */
  readonly requests: readonly Uint8Array[];
  readonly connections: number;
  /** How long answers count, from the end of the warm-up on; absent: from `count` to `stop`. */
  readonly seconds?: number;
  /** A second, at moments that are fixed beforehand; absent: each connection asks as soon as it is answered. */
  readonly rate?: number;
  /** The server ends each connection after one answer, as `openssl ocsp` does. */
  readonly oneEach?: boolean;
}

export interface LoadFigures {
  readonly perSecond: number;
  readonly answers: number;
  /** Answers that are not of status 200, or hold no more than an error; in the warm-up too. */
  readonly failed: number;
  /** Milliseconds, ascending; from the moment a request was due where there is a rate, else from when it was sent. */
  readonly latencies: Float64Array;
}

export interface RunningLoad {
  /** Settled at the end of the warm-up. */
  readonly warm: Promise<void>;
  /** Rejected where no answer counts. */
  readonly figures: Promise<LoadFigures>;
  /** Answers count from now on. */
  count(): void;
  stop(): void;
}

/**
 * It asks for so long before answers count: V8 compiles what the asking process runs, and each of its pauses in this time
 * would be taken for one of the server.
 */
const WARM_UP_MS = 1_500;
/** Between looks at the clock, each answer being one too: to look all the time would take a processor from the server. */
const LOOK_EVERY_MS = 1;
/** Of one answer. */
const MOST_OCTETS = 1 << 16;

/** @throws Error where nothing was answered in the time that counts */
export const load = (scratch: Scratch, task: Load & { readonly seconds: number }): Promise<LoadFigures> => startLoad(scratch, task).figures;

export function startLoad(scratch: Scratch, task: Load): RunningLoad {
  const child = fork(fileURLToPath(import.meta.url), ['http-load'], { serialization: 'advanced', execArgv: [...process.execArgv, '--single-threaded-gc'] });
  scratch.defer(() => void child.kill());
  child.send(task);
  const ended = new Promise<never>((_, reject) => {
    child.once('exit', (status) => reject(new Error(`the process that asks ended with ${status}`)));
  });
  const figures = Promise.race([ended, told(child, (message): message is LoadFigures => message !== 'warm')]).then(counted);
  const warm = Promise.race([ended, told(child, (message): message is 'warm' => message === 'warm')]).then(() => undefined);
  // Each is looked at by whom it concerns.
  for (const promise of [figures, warm]) promise.catch(() => undefined);
  const say = (order: Order): void => void (child.connected && child.send(order));
  return { warm, figures, count: () => say('count'), stop: () => say('stop') };
}

type Order = 'count' | 'stop';
type Told = 'warm' | LoadFigures;

const told = <T extends Told>(child: ChildProcess, isIt: (message: Told) => message is T): Promise<T> => new Promise((resolve) => {
  child.on('message', (message) => {
    if (isIt(message as Told)) resolve(message as T);
  });
});

/** @throws Error where there is nothing to count: a percentile of nothing is none */
export function counted(figures: LoadFigures): LoadFigures {
  if (figures.answers === 0) throw new Error('no request was answered in the time that counts');
  return figures;
}

/** What the clients of a process have in common: where they read, and what became of it. */
interface Common {
  readonly task: Load;
  readonly reader: AnswerReader;
  readonly buffer: Buffer;
  readonly onAnswer: (client: Client, ok: boolean, since: number) => void;
}

/** One client: it asks, and asks again when it has its answer. */
class Client {
  readonly #common: Common;
  #socket: Socket | undefined;
  /** When what it asks was due, or sent; undefined: it rests. */
  #since: number | undefined;
  /** What has come of an answer that is not whole. */
  #part: Buffer | undefined;

  constructor(common: Common) {
    this.#common = common;
  }

  ask(request: Uint8Array, since: number): void {
    this.#since = since;
    this.#socket ??= this.#connect();
    this.#socket.write(request);
  }

  end(): void {
    this.#since = undefined;
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const { task: { port }, buffer } = this.#common;
    // Into one buffer for all: an answer is looked at before the next one is read.
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback: (length) => this.#take(length) } });
    socket.on('error', (error) => { throw error; });
    socket.on('close', () => {
      if (this.#since !== undefined && this.#socket === socket) throw new Error('the server has closed a connection without an answer');
    });
    return socket;
  }

  /** Always true: it goes on reading. */
  #take(length: number): boolean {
    const { buffer, reader, task, onAnswer } = this.#common;
    const all = this.#part === undefined ? buffer : Buffer.concat([this.#part, buffer.subarray(0, length)]);
    const octets = this.#part === undefined ? length : all.length;
    const answer = reader.read(all, octets);
    if (answer === undefined) {
      this.#part = Buffer.from(all.subarray(0, octets));
      return true;
    }
    if (answer.octets !== octets) throw new Error(`${octets - answer.octets} octets after an answer`);
    this.#part = undefined;
    const since = this.#since;
    if (since === undefined) return true;
    this.#since = undefined;
    if (task.oneEach === true) {
      this.#socket?.destroy();
      this.#socket = undefined;
    }
    onAnswer(this, answer.ok, since);
    return true;
  }
}

/** Asks until the time is over or `stop` is called; tells the parent when it is warm, and at the end. */
class Asking {
  readonly #task: Load;
  readonly #latencies = new Latencies();
  readonly #clients: readonly Client[];
  /** Those that have nothing to ask. */
  readonly #resting: Client[];
  /** Where there is a rate: so many requests were sent that were due. */
  #asked = 0;
  readonly #began = performance.now();
  /** Answers count from here on. */
  #counted = Infinity;
  #end = Infinity;
  #next = 0;
  #failed = 0;
  #ended = false;
  #warm = false;

  constructor(task: Load) {
    this.#task = task;
    const common: Common = { task, reader: new AnswerReader(), buffer: Buffer.allocUnsafe(MOST_OCTETS), onAnswer: (client, ok, since) => this.#answered(client, ok, since) };
    this.#clients = Array.from({ length: task.connections }, () => new Client(common));
    this.#resting = [...this.#clients];
  }

  start(): void {
    if (this.#task.rate === undefined) for (const client of this.#resting.splice(0)) this.#send(client, performance.now());
    this.#look();
  }

  count(): void {
    this.#counted = performance.now();
  }

  stop(): void {
    this.#end = Math.min(this.#end, performance.now());
  }

  #look(): void {
    const now = performance.now();
    if (!this.#warm && now >= this.#began + WARM_UP_MS) {
      this.#warm = true;
      if (this.#task.seconds !== undefined) [this.#counted, this.#end] = [now, now + this.#task.seconds * 1000];
      process.send?.('warm');
    }
    if (now >= this.#end) {
      this.#finish(now);
      return;
    }
    this.#askDue(now);
    setTimeout(() => this.#look(), LOOK_EVERY_MS);
  }

  #askDue(now: number): void {
    const { rate } = this.#task;
    if (rate === undefined) return;
    for (let at = this.#dueAt(rate); at <= now; at = this.#dueAt(rate)) {
      const client = this.#resting.pop();
      // Those that are due wait for a client, and their time runs.
      if (client === undefined) return;
      this.#asked++;
      this.#send(client, at);
    }
  }

  /** When the next request is. */
  #dueAt(rate: number): number {
    return this.#began + (this.#asked * 1000) / rate;
  }

  #send(client: Client, since: number): void {
    client.ask(this.#task.requests[this.#next]!, since);
    this.#next = (this.#next + 1) % this.#task.requests.length;
  }

  #answered(client: Client, ok: boolean, since: number): void {
    if (this.#ended) return;
    const now = performance.now();
    if (!ok) this.#failed++;
    if (now >= this.#counted) this.#latencies.add(now - since);
    if (this.#task.rate === undefined) {
      this.#send(client, now);
      return;
    }
    this.#resting.push(client);
    this.#askDue(now);
  }

  #finish(now: number): void {
    this.#ended = true;
    for (const client of this.#clients) client.end();
    const latencies = this.#latencies.sorted();
    const figures: LoadFigures = { perSecond: (latencies.length * 1000) / (now - this.#counted), answers: latencies.length, failed: this.#failed, latencies };
    process.send?.(figures, () => process.exit(0));
  }
}

if (process.argv[2] === 'http-load') {
  process.once('disconnect', () => process.exit(1));
  process.once('message', (task) => {
    const asking = new Asking(task as Load);
    process.on('message', (order) => asking[order as Order]());
    asking.start();
  });
}
