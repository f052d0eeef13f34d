import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeOcspGetPath, type OcspReply, type OcspResponder } from '@fleetroot/ocsp';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import { holdsAlready, OCSP_RESPONSE, ocspHeaders } from './ocsp-http.ts';

export interface OcspFrontParts {
  readonly responder: Pick<OcspResponder, 'answer' | 'recall'>;
  readonly clock: { now(): Date };
}

export type OcspMethod = 'GET' | 'POST';

/** The path of the responder, where a GET has the request behind it. */
const PATH = '/ocsp';
const PREFIX = `${PATH}/`;
const SLASH = 0x2f;
const NAMES = 20_000;
const LONGEST_SPELLING = 400;

/**
 * OCSP over HTTP (RFC 6960 appendix A), ahead of the framework: an answer from memory takes less than the framework's own
 * work for a request. GET and POST of one request get the same answer (I18). What is not an OCSP request by its method,
 * path and headers is left to the framework, which refuses it in its own words.
 */
export class OcspFront {
  readonly #parts: OcspFrontParts;
  readonly #counts = { GET: { answer: 0, error: 0 }, POST: { answer: 0, error: 0 } };
  /** What the responder calls the requests of these URLs, and those of these bodies: none is read again. */
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
      if (this.#recall(url, 'GET', request, response)) return true;
      const query = url.indexOf('?');
      this.#answer(decodeOcspGetPath(url.slice(PREFIX.length, query === -1 ? undefined : query)), url, 'GET', request, response);
      return true;
    }
    if (request.method !== 'POST' || (url !== PATH && url !== PREFIX) || !isOcspRequest(request)) return false;
    this.#readBody(request, response);
    return true;
  }

  /** Answers what is spelled as a request before it, where its answer is in memory. */
  #recall(spelling: string, method: OcspMethod, request: IncomingMessage, response: ServerResponse): boolean {
    const name = this.#names.get(spelling);
    const reply = name === undefined ? undefined : this.#parts.responder.recall(name);
    if (reply === undefined) return false;
    this.#send(this.#counted(reply, method), spelling, method, request, response);
    return true;
  }

  #readBody(request: IncomingMessage, response: ServerResponse): void {
    const wanted = Number(request.headers['content-length']);
    const pieces: Buffer[] = [];
    let length = 0;
    request.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length < wanted) return;
      const body = pieces.length === 1 ? piece : Buffer.concat(pieces);
      // An octet a character: none begins as a path does, so that bodies and URLs can be in one map.
      const spelling = body.length > LONGEST_SPELLING || body[0] === SLASH ? '' : body.toString('latin1');
      if (!this.#recall(spelling, 'POST', request, response)) this.#answer(body, spelling, 'POST', request, response);
    });
    request.on('error', () => undefined);
  }

  #answer(der: Uint8Array, spelling: string, method: OcspMethod, request: IncomingMessage, response: ServerResponse): void {
    const reply = this.answer(der, method);
    if (reply instanceof Promise) void reply.then((one) => this.#send(one, spelling, method, request, response));
    else this.#send(reply, spelling, method, request, response);
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

  #remember(spelling: string, name: string): void {
    if (spelling === '' || spelling.length > LONGEST_SPELLING || this.#names.has(spelling)) return;
    // One request has many spellings: all are forgotten before a flood of them takes more room.
    if (this.#names.size >= NAMES) this.#names.clear();
    this.#names.set(spelling, name);
  }

  #send(reply: OcspReply, spelling: string, method: OcspMethod, request: IncomingMessage, response: ServerResponse): void {
    if (response.destroyed) return;
    const headers = [...ocspHeaders(reply, method, this.#parts.clock.now().getTime()), 'x-content-type-options', 'nosniff'];
    if (method === 'GET' && holdsAlready(request.headers, reply)) {
      response.writeHead(304, headers).end();
      return;
    }
    const { der, name } = reply;
    if (name !== undefined) this.#remember(spelling, name);
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
