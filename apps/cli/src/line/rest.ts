import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';

/** One line of `GET /v1/batches/{id}/certificates`. */
export type BatchResult =
  | { readonly ordinal: number; readonly outcome: 'issued'; readonly ecuSerial?: string; readonly serial: string; readonly certificate: string }
  | { readonly ordinal: number; readonly outcome: 'failed'; readonly code: string; readonly detail?: string };

/** An answer of the API that is no success. */
export class ApiRefusal extends Error {
  readonly status: number;
  /** Of the error catalogue; undefined where something else than the API has answered. */
  readonly code: string | undefined;
  /** What the problem says beside that: `received`, `line`. */
  readonly data: Readonly<Record<string, unknown>>;
  /** In seconds. */
  readonly retryAfter: number | undefined;

  constructor(what: string, status: number, body: string, retryAfter: number | undefined) {
    super(`${what}: ${problem(status, body)}`);
    this.name = 'ApiRefusal';
    this.status = status;
    this.data = membersOf(body);
    this.code = typeof this.data['code'] === 'string' ? this.data['code'] : undefined;
    this.retryAfter = retryAfter;
  }
}

export interface Sent {
  readonly body?: string | Readable | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** How long nothing may move on a connection. */
const SILENCE_MS = 120_000;

/** The REST API as one principal sees it. What is answered with an error is thrown as an ApiRefusal. */
export class RestClient {
  readonly base: string;
  readonly #token: string;
  readonly #signal: AbortSignal;

  /** `signal` ends every call. */
  constructor(base: string, token: string, signal: AbortSignal) {
    this.base = base;
    this.#token = token;
    this.#signal = signal;
  }

  /** Sends the lines as a stream; returns the batch's id once all of it is accepted. */
  async submitBatch(profile: string, idempotencyKey: string, lines: AsyncIterable<string>): Promise<string> {
    const body = await this.json('POST', `/v1/batches?profile=${encodeURIComponent(profile)}`, {
      body: Readable.from(lines), headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': idempotencyKey },
    });
    return (body as { id: string }).id;
  }

  /** Results in the order of the requests, as they are issued. */
  async *results(batchId: string, query = ''): AsyncGenerator<BatchResult> {
    for await (const line of createInterface({ input: await this.stream(`/v1/batches/${batchId}/certificates${query}`), crlfDelay: Infinity })) {
      if (line !== '') yield JSON.parse(line) as BatchResult;
    }
  }

  async text(path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    return (await this.#call('GET', path, { headers })).body.text();
  }

  /** The body as it comes; leave it by its `destroy`. */
  async stream(path: string): Promise<Readable> {
    return (await this.#call('GET', path, {})).body;
  }

  get(path: string): Promise<unknown> {
    return this.json('GET', path);
  }

  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return this.json('POST', path, { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } });
  }

  async json(method: Method, path: string, sent: Sent = {}): Promise<unknown> {
    return (await this.#call(method, path, sent)).body.json();
  }

  /** For what is answered without a body. */
  async delete(path: string): Promise<void> {
    await (await this.#call('DELETE', path, {})).body.dump();
  }

  async #call(method: Method, path: string, { body, headers = {} }: Sent): Promise<Dispatcher.ResponseData> {
    const response = await request(`${this.base}${path}`, {
      method, signal: this.#signal, headers: { authorization: `Bearer ${this.#token}`, ...headers }, ...(body === undefined ? {} : { body }),
      // A batch's results come as they are issued, and that may take its time.
      bodyTimeout: SILENCE_MS, headersTimeout: SILENCE_MS,
    });
    if (response.statusCode < 300) return response;
    throw new ApiRefusal(`${method} ${path.split('?')[0]}`, response.statusCode, await response.body.text(), secondsOf(response.headers['retry-after']));
  }
}

function secondsOf(header: string | string[] | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

function membersOf(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The status and what its problem+json (RFC 9457) says. */
export function problem(status: number, body: string): string {
  const { code, title, detail } = membersOf(body) as Record<string, string | undefined>;
  return [String(status), code, detail ?? title].filter(Boolean).join(' ');
}
