import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeOcspGetPath, type OcspReply, type OcspResponder } from '@fleetroot/ocsp';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import { holdsAlready, OCSP_RESPONSE, ocspHeaders } from './ocsp-http.ts';

export interface OcspFrontParts {
  readonly responder: Pick<OcspResponder, 'answer' | 'recall'>;
  readonly clock: { now(): Date };
  /** How long a body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
}

export type OcspMethod = 'GET' | 'POST';

/** The path of the responder, where a GET has the request behind it. */
const PATH = '/ocsp';
const PREFIX = `${PATH}/`;
const URLS = 20_000;
const LONGEST_URL = 400;

/**
 * OCSP over HTTP (RFC 6960 appendix A), ahead of the framework: an answer from memory takes less than the framework's own
 * work for a request. GET and POST of one request get the same answer (I18). What is not an OCSP request by its method,
 * path and headers is left to the framework, which refuses it in its own words.
 */
export class OcspFront {
  readonly #parts: OcspFrontParts;
  readonly #counts = { GET: { answer: 0, error: 0 }, POST: { answer: 0, error: 0 } };
  /** What the responder calls the requests of these URLs: neither is read again. */
  readonly #names = new Map<string, string>();
  readonly #sources = { memory: 0, table: 0, signed: 0, error: 0 };

  constructor(parts: OcspFrontParts) {
    this.#parts = parts;
  }

  /** Answers since it was asked last, by method and outcome, and by what they were made from. */
  takeCounts(): { readonly counts: Record<OcspMethod, { answer: number; error: number }>; readonly sources: Record<OcspReply['source'], number> } {
    const taken = { counts: structuredClone(this.#counts), sources: { ...this.#sources } };
    for (const of of Object.values(this.#counts)) of.answer = of.error = 0;
    this.#sources.memory = this.#sources.table = this.#sources.signed = this.#sources.error = 0;
    return taken;
  }

  /** false: this is none of its own, and was not touched. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const url = request.url ?? '';
    if (request.method === 'GET' && url.startsWith(PREFIX)) {
      const recalled = this.#recall(url);
      if (recalled !== undefined) {
        this.#send(this.#counted(recalled, 'GET'), 'GET', request, response);
        return true;
      }
      const query = url.indexOf('?');
      this.#answer(decodeOcspGetPath(url.slice(PREFIX.length, query === -1 ? undefined : query)), 'GET', request, response);
      return true;
    }
    if (request.method !== 'POST' || (url !== PATH && url !== PREFIX) || !isOcspRequest(request)) return false;
    this.#readBody(request, response);
    return true;
  }

  #recall(url: string): OcspReply | undefined {
    const name = this.#names.get(url);
    return name === undefined ? undefined : this.#parts.responder.recall(name);
  }

  #readBody(request: IncomingMessage, response: ServerResponse): void {
    const wanted = Number(request.headers['content-length']);
    const pieces: Buffer[] = [];
    let length = 0;
    const timer = setTimeout(() => request.destroy(), this.#parts.bodyTimeoutMs);
    request.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length < wanted) return;
      clearTimeout(timer);
      this.#answer(pieces.length === 1 ? piece : Buffer.concat(pieces), 'POST', request, response);
    });
    request.on('close', () => clearTimeout(timer));
    request.on('error', () => undefined);
  }

  #answer(der: Uint8Array, method: OcspMethod, request: IncomingMessage, response: ServerResponse): void {
    const reply = this.answer(der, method);
    if (reply instanceof Promise) void reply.then((one) => this.#send(one, method, request, response));
    else this.#send(reply, method, request, response);
  }

  /** Never rejects. */
  answer(der: Uint8Array, method: OcspMethod): OcspReply | Promise<OcspReply> {
    const reply = this.#parts.responder.answer(der);
    return reply instanceof Promise ? reply.then((one) => this.#counted(one, method)) : this.#counted(reply, method);
  }

  #counted(reply: OcspReply, method: OcspMethod): OcspReply {
    this.#counts[method][reply.source === 'error' ? 'error' : 'answer']++;
    this.#sources[reply.source]++;
    return reply;
  }

  #remember(url: string, name: string): void {
    if (url.length > LONGEST_URL || this.#names.has(url)) return;
    // One request has many spellings: all are forgotten before a flood of them takes more room.
    if (this.#names.size >= URLS) this.#names.clear();
    this.#names.set(url, name);
  }

  #send(reply: OcspReply, method: OcspMethod, request: IncomingMessage, response: ServerResponse): void {
    if (response.destroyed) return;
    const headers = [...ocspHeaders(reply, method, this.#parts.clock.now().getTime()), 'x-content-type-options', 'nosniff'];
    if (method === 'GET' && holdsAlready(request.headers, reply)) {
      response.writeHead(304, headers).end();
      return;
    }
    const { der, name } = reply;
    if (method === 'GET' && name !== undefined) this.#remember(request.url ?? '', name);
    headers.push('content-type', OCSP_RESPONSE, 'content-length', String(der.length));
    // As text, an octet a character, head and body leave in one write.
    response.writeHead(200, headers).end(Buffer.from(der.buffer, der.byteOffset, der.length).toString('latin1'), 'latin1');
  }
}

/** Of the right type, and of a length that is told and allowed. */
function isOcspRequest({ headers }: IncomingMessage): boolean {
  const length = Number(headers['content-length'] ?? 0);
  return length > 0 && length <= OCSP_MAX_OCTETS && headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() === 'application/ocsp-request';
}
