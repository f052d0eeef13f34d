import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { PkiError } from '@fleetroot/core';
import { type Logger, nestLogger } from '@fleetroot/telemetry';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Authenticate, enforceAccess } from './access.ts';
import { RouteTable } from './allowed-methods.ts';
import { readBodies } from './bodies.ts';
import { answerClientError } from './client-error.ts';
import { ProblemFilter } from './problem-filter.ts';
import type { RouteRules } from './route.ts';

export interface RequestOutcome {
  readonly method: string;
  /** The route's pattern; `unmatched` where there is none. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

export interface AppRoute {
  readonly method: string;
  /** With its parameters as `:name`. */
  readonly url: string;
  readonly rules: RouteRules;
}

export interface HttpAppOptions {
  readonly logger: Logger;
  /** Longest body, in octets, of a route that declares no limit of its own. */
  readonly bodyLimit: number;
  /** From the first octet of a request to its answer, on routes that do not declare `streaming`, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** The same for routes that do; default an hour. */
  readonly streamTimeoutMs?: number;
  /** TLS: an HTTPS listener. */
  readonly https?: ServerOptions;
  /** Missing: the app may only have public routes. */
  readonly authenticate?: Authenticate;
  /** What a 401 asks for. */
  readonly challenge?: string;
  /** Media types whose bodies a handler gets as a Buffer. */
  readonly octetTypes?: readonly string[];
  /**
   * Sees each request before all else here: no hook, log, limit or error of this app is for a request that it takes. false: it
   * has not touched the request.
   */
  readonly ahead?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Routes that answer without Nest; they come under the same rules, and declare them in their `config`. */
  readonly plainRoutes?: (app: FastifyInstance) => void;
  /** Called once a route, before the app is ready. */
  readonly onRoute?: (route: AppRoute) => void;
  /** Called once a request, when its answer has left. */
  readonly onOutcome?: (outcome: RequestOutcome) => void;
}

const STREAM_TIMEOUT_MS = 3_600_000;
/** All header fields must have arrived by then: the limit on a caller that sends a header octet by octet. */
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 65_000;
/** How long `close` leaves requests to end by themselves; a process has ten seconds to close in all. */
const DRAIN_MS = 4_000;

/**
 * A Nest application on Fastify with what every listener of Fleetroot has: problem+json for every error, access rules
 * checked at start and before a body is read, bounded bodies and times, request ids, one line of log a request without
 * query, body or token. Not listening yet.
 * @throws PkiError `config.invalid` where a route has said nothing of who may use it
 */
export async function createHttpApp(module: Type | DynamicModule, options: HttpAppOptions): Promise<NestFastifyApplication> {
  const routes = new RouteTable();
  const challenge = options.challenge ?? 'Bearer realm="fleetroot"';
  const filter = new ProblemFilter(options.logger, routes, challenge);
  const adapter = new FastifyAdapter(fastifyOptions(options, filter));
  const fastify = adapter.getInstance<FastifyInstance>();

  fastify.addHook('onRoute', (route) => {
    const rules = route.config ?? {};
    if (rules.streaming === true && route.method === 'HEAD') {
      // Fastify's own would read the whole stream to throw it away.
      route.handler = () => Promise.reject(new PkiError('http.method-not-allowed', 'GET is allowed here'));
      return;
    }
    routes.add(route.url, route.method);
    options.onRoute?.({ method: String(route.method), url: route.url, rules });
    if (rules.bodyLimit !== undefined) route.bodyLimit = rules.bodyLimit;
    if (rules.streaming === true) route.handlerTimeout = options.streamTimeoutMs ?? STREAM_TIMEOUT_MS;
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    void reply.header('x-content-type-options', 'nosniff');
    done();
  });
  enforceAccess(fastify, options.authenticate);
  readBodies(fastify, options.octetTypes ?? []);
  logRequests(fastify, options);
  fastify.addHook('preClose', (done) => {
    setTimeout(() => fastify.server.closeAllConnections(), DRAIN_MS).unref();
    done();
  });

  options.plainRoutes?.(fastify);

  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: nestLogger(options.logger), bodyParser: false, abortOnError: false,
  });
  app.useGlobalFilters(filter);
  await app.init();
  await fastify.ready();
  if (options.ahead !== undefined) goAhead(fastify, options.ahead);
  return app;
}

function goAhead({ server }: FastifyInstance, ahead: NonNullable<HttpAppOptions['ahead']>): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!ahead(request, response)) for (const handle of handlers) handle(request, response);
  });
}

function fastifyOptions(options: HttpAppOptions, filter: ProblemFilter): ConstructorParameters<typeof FastifyAdapter>[0] {
  const node = { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 2_000, keepAliveTimeout: KEEP_ALIVE_MS };
  return {
    ...(options.https === undefined ? { http: node } : { https: { ...node, ...options.https } }),
    // Middleware is not used: without its host, a request has one layer less.
    skipMiddie: true,
    multipart: false,
    bodyLimit: options.bodyLimit,
    handlerTimeout: options.requestTimeoutMs,
    // Node's own limit, on the arrival of a whole request: the last resort behind the limits of the routes.
    requestTimeout: options.streamTimeoutMs ?? STREAM_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    // What still comes in on an open connection is served: Fastify's own 503 would be no problem+json.
    return503OnClosing: false,
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 4096 },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => filter.answer(error, request as FastifyRequest, reply as never),
    logger: false,
  } as ConstructorParameters<typeof FastifyAdapter>[0];
}

function logRequests(fastify: FastifyInstance, options: HttpAppOptions): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const outcome = {
      method: request.method, route: request.is404 ? 'unmatched' : request.routeOptions.url ?? 'unmatched',
      status: reply.statusCode, seconds: reply.elapsedTime / 1000,
    };
    options.onOutcome?.(outcome);
    if (request.routeOptions.config?.quiet === true && outcome.status < 500) {
      done();
      return;
    }
    const { seconds, ...rest } = outcome;
    options.logger.info({
      requestId: request.id, ...rest, ms: Math.round(seconds * 1000), remote: request.ip,
      ...(request.principal === undefined ? {} : { principal: request.principal.name }),
    }, 'request');
    done();
  });
}
