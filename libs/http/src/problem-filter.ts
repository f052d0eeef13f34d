import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { PkiError } from '@fleetroot/core';
import type { Logger } from '@fleetroot/telemetry';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RouteTable } from './allowed-methods.ts';
import { pkiErrorOf } from './framework-errors.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

/** How long the rest of a refused body is read and thrown away, so that its sender gets to read the answer. */
const LINGER_MS = 2_000;

/** Answers every error as a problem; logs those that are not the caller's. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger: Logger;
  readonly #routes: RouteTable;
  readonly #challenge: string;

  constructor(logger: Logger, routes: RouteTable, challenge: string) {
    this.#logger = logger;
    this.#routes = routes;
    this.#challenge = challenge;
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(thrown, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  /** Also for errors that Fastify finds before it has a route. */
  answer(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const known = pkiErrorOf(thrown);
    const error = known?.code === 'http.not-found' ? this.#wrongMethod(request) ?? known : known;
    const problem = problemOf(error ?? thrown, request.id, this.#challenge);
    if (problem.status >= 500) this.#report(error ?? thrown, request);
    cutBodyAfter(request, LINGER_MS);
    if (reply.raw.headersSent) {
      // Half an answer is out: cutting the connection is the only way left to say that it is not whole.
      reply.raw.destroy();
      return;
    }
    if (error?.code === 'http.method-not-allowed') void reply.header('allow', this.#routes.methods(pathOf(request)).join(', '));
    void reply.code(problem.status).header('x-request-id', request.id).headers(problem.headers).type(PROBLEM_TYPE).send(Buffer.from(JSON.stringify(problem.body)));
  }

  #wrongMethod(request: FastifyRequest): PkiError | undefined {
    const allowed = this.#routes.methods(pathOf(request));
    if (allowed.length === 0 || allowed.includes(request.method)) return undefined;
    return new PkiError('http.method-not-allowed', `${allowed.join(', ')} is allowed here`);
  }

  #report(thrown: unknown, request: FastifyRequest): void {
    this.#logger.error({ requestId: request.id, route: request.routeOptions?.url, err: thrown }, 'a request failed');
  }
}

/** The path as it was asked for, without its query. */
function pathOf(request: FastifyRequest): string {
  return request.raw.url?.split('?', 1)[0] ?? '';
}

function cutBodyAfter(request: FastifyRequest, ms: number): void {
  const { raw } = request;
  // `socket` is missing from a request that was injected.
  if (raw.complete || raw.destroyed || typeof raw.socket?.destroy !== 'function') return;
  raw.resume();
  const timer = setTimeout(() => raw.socket.destroy(), ms);
  timer.unref();
  raw.once('close', () => clearTimeout(timer));
  raw.once('end', () => clearTimeout(timer));
}
