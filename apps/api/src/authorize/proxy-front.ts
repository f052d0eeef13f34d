import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Authorization, clientReasons } from '@fleetroot/trust';
import { answerHeaders } from './answer.ts';
import type { GatewayChecks } from './gateway-checks.ts';

/** Statuses of an answer: allowed, and where no certificate was presented. */
export interface Statuses {
  readonly allowed: number;
  readonly missing: number;
}

export const nginx = { path: '/v1/authorize/nginx', methods: ['GET'], statuses: { allowed: 204, missing: 401 } } as const;
/** Envoy asks with the method of the client's request, and with its path behind the prefix. */
export const envoy = {
  prefix: '/v1/authorize/envoy/', methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], statuses: { allowed: 200, missing: 403 },
} as const;

const envoyMethods: ReadonlySet<string> = new Set(envoy.methods);

/**
 * The forms in which proxies ask, ahead of the framework: they are asked for with every request of a fleet, and the decision
 * takes less than the framework's own work for a request. Answered before a body is read: Envoy may be set to send the
 * client's. Whatever fails, the answer is a 403: proxies that are set to let clients in on a 5xx would let in all.
 */
export class ProxyFront {
  readonly #checks: Pick<GatewayChecks, 'ofHeaders'>;
  readonly #onError: (error: unknown) => void;

  /** @param onError told of each error that is none of a client's, a proxy's or the database's */
  constructor(checks: Pick<GatewayChecks, 'ofHeaders'>, onError: (error: unknown) => void) {
    this.#checks = checks;
    this.#onError = onError;
  }

  /** false: this is none of its own by its method and path, and was not touched. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const statuses = statusesOf(request.method ?? '', request.url ?? '');
    if (statuses !== undefined) this.answer(request, response, statuses);
    return statuses !== undefined;
  }

  answer(request: IncomingMessage, response: ServerResponse, statuses: Statuses): void {
    const failed = (error: unknown): void => {
      this.#onError(error);
      if (response.headersSent) response.destroy();
      else send(response, { allowed: false, reason: 'status.unavailable', detail: clientReasons['status.unavailable'] }, statuses);
    };
    try {
      const decided = this.#checks.ofHeaders(request);
      if (decided instanceof Promise) decided.then((one) => send(response, one, statuses)).catch(failed);
      else send(response, decided, statuses);
    } catch (error) {
      failed(error);
    }
  }
}

function statusesOf(method: string, url: string): Statuses | undefined {
  if (url.startsWith(envoy.prefix)) return envoyMethods.has(method) ? envoy.statuses : undefined;
  return method === 'GET' && url.startsWith(nginx.path) && (url.length === nginx.path.length || url[nginx.path.length] === '?') ? nginx.statuses : undefined;
}

function send(response: ServerResponse, authorization: Authorization, { allowed, missing }: Statuses): void {
  if (response.destroyed) return;
  const status = authorization.allowed ? allowed : authorization.reason === 'certificate.missing' ? missing : 403;
  const headers = [...answerHeaders(authorization), 'cache-control', 'no-store', 'x-content-type-options', 'nosniff'];
  if (status === 401) headers.push('www-authenticate', 'TLS realm="fleetroot"');
  // A 204 tells no length.
  if (status !== 204) headers.push('content-length', '0');
  response.writeHead(status, headers).end();
}
