import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Batch {
  readonly id: string;
  readonly opened: string;
  lines: string[];
  digest: Buffer;
  state: 'receiving' | 'accepted' | 'done';
  cancelled: boolean;
  /** Items that are decided. */
  settled: number;
}

export interface UploadServerOptions {
  /** Items of a chunk: what was received when a connection breaks is a multiple of it. */
  readonly chunkItems?: number;
  /** Pause after each chunk, so that there is time to break something. */
  readonly chunkMs?: number;
  /** Results a pause lets through. */
  readonly resultsAtOnce?: number;
  readonly resultMs?: number;
  /** A code for lines that fail. */
  readonly fault?: (line: string, resend: boolean) => string | undefined;
}

/**
 * The batches of the API in small, in memory, over real HTTP: uploads in parts by the same rules as the product, results as a
 * stream that waits. It issues nothing. It shows a client what a test cannot have from the product at will.
 */
export class UploadServer {
  readonly batches = new Map<string, Batch>();
  /** Answers instead of what was asked for, one after the other. */
  readonly refusals: { status: number; code: string; retryAfter?: string }[] = [];
  /** Lines taken in, over all batches. */
  taken = 0;
  requests = 0;
  /** Pause after `resultsAtOnce` results; a test may change it while results flow. */
  resultMs: number;
  readonly #keys = new Map<string, string>();
  readonly #options: Required<UploadServerOptions>;
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  constructor(options: UploadServerOptions = {}) {
    this.resultMs = options.resultMs ?? 0;
    this.#options = { chunkItems: 50, chunkMs: 0, resultsAtOnce: 100, resultMs: 0, fault: () => undefined, ...options };
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`));
    });
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  only(): Batch {
    if (this.batches.size !== 1) throw new Error(`${this.batches.size} batches, and not one`);
    return [...this.batches.values()][0]!;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1;
    const refusal = this.refusals.shift();
    try {
      if (refusal !== undefined) throw new Refusal(refusal.status, refusal.code, {}, refusal.retryAfter);
      if (request.headers.authorization !== 'Bearer token-of-the-line') throw new Refusal(401, 'auth.token-invalid');
      await this.#route(request, response);
    } catch (error) {
      if (response.headersSent || request.errored) return void response.destroy();
      const { status, code, data, retryAfter } = error instanceof Refusal ? error : new Refusal(500, 'internal');
      if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
      response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ ...data, status, code, title: code }));
      request.resume();
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://here');
    const [, , kind, id = '', action] = url.pathname.split('/');
    const what = `${request.method} ${kind}${id === '' ? '' : '/:id'}${action === undefined ? '' : `/${action}`}`;
    const send = (status: number, body?: unknown): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(body === undefined ? undefined : JSON.stringify(body));
    if (what === 'POST uploads') return send(...this.#open(request.headers['idempotency-key'] as string, await text(request)));
    const batch = this.batches.get(id);
    if (batch === undefined) throw new Refusal(404, 'batch.not-found');
    switch (what) {
      case 'GET uploads/:id': return send(200, upload(batch));
      case 'PATCH uploads/:id':
        await this.#part(batch, Number(url.searchParams.get('from')), request);
        return send(200, upload(batch));
      case 'POST uploads/:id/accept': return send(...this.#accept(batch, JSON.parse(await text(request)) as { items: number; digest: string }));
      case 'DELETE uploads/:id':
        this.batches.delete(id);
        this.#keys.clear();
        return send(204);
      case 'GET batches/:id': return send(200, this.#body(batch));
      case 'POST batches/:id/cancel':
        batch.cancelled = true;
        return send(200, this.#body(batch));
      case 'GET batches/:id/certificates': return await this.#results(batch, url.searchParams, response);
      default: throw new Refusal(404, 'http.not-found');
    }
  }

  #open(key: string, opened: string): [number, unknown] {
    const known = this.batches.get(this.#keys.get(key) ?? '');
    if (known !== undefined) {
      if (known.opened !== opened) throw new Refusal(409, 'idempotency.conflict');
      return [200, upload(known)];
    }
    const batch: Batch = { id: randomUUID(), opened, lines: [], digest: Buffer.alloc(32), state: 'receiving', cancelled: false, settled: 0 };
    this.batches.set(batch.id, batch);
    this.#keys.set(key, batch.id);
    return [201, upload(batch)];
  }

  async #part(batch: Batch, from: number, body: IncomingMessage): Promise<void> {
    if (from !== batch.lines.length) throw new Refusal(409, 'upload.offset', { received: batch.lines.length });
    if (batch.state !== 'receiving') throw new Refusal(409, 'upload.accepted');
    const { chunkItems, chunkMs } = this.#options;
    let at = from;
    let rest = '';
    let chunk: string[] = [];
    const append = async (): Promise<void> => {
      // Two connections at once: the later one finds that the other was quicker.
      if (at !== batch.lines.length) throw new Refusal(409, 'upload.offset', { received: batch.lines.length });
      for (const line of chunk) batch.digest = sha256(batch.digest, sha256(Buffer.from(line)));
      batch.lines.push(...chunk);
      this.taken += chunk.length;
      at += chunk.length;
      chunk = [];
      if (chunkMs > 0) await sleep(chunkMs);
    };
    for await (const piece of body) {
      const lines = (rest + String(piece)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        chunk.push(line);
        if (chunk.length === chunkItems) await append();
      }
    }
    if (rest !== '') chunk.push(rest);
    await append();
  }

  #accept(batch: Batch, { items, digest }: { items: number; digest: string }): [number, unknown] {
    const matches = items === batch.lines.length && digest === batch.digest.toString('hex');
    if (batch.state !== 'receiving') {
      if (!matches) throw new Refusal(409, 'idempotency.conflict');
      return [200, this.#body(batch)];
    }
    if (!matches) throw new Refusal(409, 'upload.incomplete');
    batch.state = 'accepted';
    return [202, this.#body(batch)];
  }

  async #results(batch: Batch, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { resultsAtOnce } = this.#options;
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const wanted = query.get('outcome');
    for (let ordinal = Number(query.get('from') ?? 0); ordinal < batch.lines.length; ordinal++) {
      if (response.destroyed) return;
      batch.settled = Math.max(batch.settled, ordinal + 1);
      const code = this.#codeOf(batch, ordinal);
      const result = code === undefined
        ? { ordinal, ecuSerial: (JSON.parse(batch.lines[ordinal]!) as { ecuSerial?: string }).ecuSerial, outcome: 'issued', serial: ordinal.toString(16), certificate: 'AAAA' }
        : { ordinal, outcome: 'failed', code, detail: 'told by the test' };
      if (wanted === null || wanted === result.outcome) response.write(`${JSON.stringify(result)}\n`);
      if (this.resultMs > 0 && (ordinal + 1) % resultsAtOnce === 0) await sleep(this.resultMs, undefined, { ref: false });
    }
    batch.state = 'done';
    response.end();
  }

  #codeOf(batch: Batch, ordinal: number): string | undefined {
    if (batch.cancelled) return 'batch.cancelled';
    return this.#options.fault(batch.lines[ordinal]!, batch.opened.includes('resendOf'));
  }

  #body(batch: Batch): unknown {
    const settled = batch.cancelled ? batch.lines.length : batch.settled;
    const failures: Record<string, number> = {};
    for (let i = 0; i < settled; i++) {
      const code = this.#codeOf(batch, i);
      if (code !== undefined) failures[code] = (failures[code] ?? 0) + 1;
    }
    const failed = Object.values(failures).reduce((sum, n) => sum + n, 0);
    const items = batch.lines.length;
    return {
      id: batch.id, profile: 'ecu-client', state: batch.state, items, issued: settled - failed, failed, pending: items - settled, failures,
      createdAt: '2026-11-22T12:00:00.000Z', completedAt: null, cancelledAt: batch.cancelled ? '2026-11-22T12:00:00.000Z' : null,
      resendOf: (JSON.parse(batch.opened) as { resendOf?: string }).resendOf ?? null, ratePerSecond: null, secondsLeft: null,
    };
  }
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly data: Record<string, unknown>;
  readonly retryAfter: string | undefined;

  constructor(status: number, code: string, data: Record<string, unknown> = {}, retryAfter?: string) {
    super(code);
    this.status = status;
    this.code = code;
    this.data = data;
    this.retryAfter = retryAfter;
  }
}

const sha256 = (...parts: readonly Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

function upload({ id, lines, digest, state }: Batch): unknown {
  return { id, received: lines.length, digest: digest.toString('hex'), state, expiresAt: null };
}

async function text(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const piece of request) body += String(piece);
  return body;
}
