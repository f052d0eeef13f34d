import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';

/** One line of `GET /v1/batches/{id}/certificates`. */
export type BatchResult =
  | { readonly ordinal: number; readonly outcome: 'issued'; readonly ecuSerial?: string; readonly serial: string; readonly certificate: string }
  | { readonly ordinal: number; readonly outcome: 'failed'; readonly code: string; readonly detail: string };

/** The REST API as one principal sees it. */
export class RestClient {
  readonly #base: string;
  readonly #token: string;
  readonly #signal: AbortSignal;

  /** `signal` ends every call. */
  constructor(base: string, token: string, signal: AbortSignal) {
    this.#base = base;
    this.#token = token;
    this.#signal = signal;
  }

  /** Sends the lines as a stream; returns the batch's id once all of it is accepted. */
  async submitBatch(profile: string, idempotencyKey: string, lines: AsyncIterable<string>): Promise<string> {
    const body = await this.#json('POST', `/v1/batches?profile=${encodeURIComponent(profile)}`, Readable.from(lines), {
      'content-type': 'application/x-ndjson', 'idempotency-key': idempotencyKey,
    });
    return (body as { id: string }).id;
  }

  /** Results in the order of the requests, as they are issued. */
  async *results(batchId: string): AsyncGenerator<BatchResult> {
    const { body } = await this.#call('GET', `/v1/batches/${batchId}/certificates`);
    for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
      if (line !== '') yield JSON.parse(line) as BatchResult;
    }
  }

  async text(path: string): Promise<string> {
    return (await this.#call('GET', path)).body.text();
  }

  get(path: string): Promise<unknown> {
    return this.#json('GET', path);
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.#json('POST', path, JSON.stringify(body), { 'content-type': 'application/json' });
  }

  async #json(method: 'GET' | 'POST', path: string, body?: string | Readable, headers?: Record<string, string>): Promise<unknown> {
    return (await this.#call(method, path, body, headers)).body.json();
  }

  async #call(method: 'GET' | 'POST', path: string, body?: string | Readable, headers: Record<string, string> = {}): Promise<Dispatcher.ResponseData> {
    const response = await request(`${this.#base}${path}`, {
      method, signal: this.#signal, headers: { authorization: `Bearer ${this.#token}`, ...headers }, ...(body === undefined ? {} : { body }),
      // A batch's results come as they are issued, and that may take its time.
      bodyTimeout: 120_000, headersTimeout: 120_000,
    });
    if (response.statusCode < 300) return response;
    throw new Error(`${method} ${path.split('?')[0]}: ${problem(response.statusCode, await response.body.text())}`);
  }
}

/** The status and what its problem+json (RFC 9457) says. */
export function problem(status: number, body: string): string {
  try {
    const { code, title, detail } = JSON.parse(body) as Record<string, string | undefined>;
    return [String(status), code, detail ?? title].filter(Boolean).join(' ');
  } catch {
    return String(status);
  }
}
