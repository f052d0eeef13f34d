import type { Authorization } from '@fleetroot/trust';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Operation } from '../openapi/operation.ts';
import { answerFields, answerHeaders } from './answer.ts';
import type { GatewayChecks } from './gateway-checks.ts';

/** Envoy asks with the method of the client's request. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

const headers = Object.fromEntries(Object.entries({
  'X-SSL-Client-Cert': 'of a proxy with the form `escaped-pem`: percent-encoded PEM', 'X-Forwarded-Client-Cert': 'of one with `xfcc` or `xfcc-last`',
  'Client-Cert': 'of one with `client-cert` (RFC 9440)', 'X-Fleetroot-Proxy-Token': 'where the proxy must send one',
  'X-Fleetroot-Truststore': 'name of one that must hold the CA that issued the certificate',
}).map(([name, description]) => [name, { description, required: false }]));

const operation = (what: string, allowed: number): Operation => ({
  tag: 'Gateways', summary: `Whether a client is to be let in, for ${what}`,
  description: 'Believes the headers of proxies that FLEETROOT_AUTHORIZE_PROXIES names, and of nobody else. Anything but the first answer means no.',
  headers, responses: { [allowed]: { description: 'Let it in', headers: answerFields }, 403: { description: 'Do not', headers: answerFields } },
});

/** Statuses of an answer: allowed, and where no certificate was presented. */
interface Statuses {
  readonly allowed: number;
  readonly missing: number;
}

/**
 * The forms in which proxies ask, without Nest: they are asked for with every request of a fleet. Answered before a body is
 * read: Envoy may be set to send the client's.
 * @param checks called at each request
 */
export function proxyRoutes(app: FastifyInstance, checks: () => GatewayChecks): void {
  const route = (method: (typeof METHODS)[number], url: string, statuses: Statuses, described: Operation): RouteOptions => ({
    method, url, exposeHeadRoute: false,
    // By its address and token the caller is known to GatewayChecks.
    config: { access: 'public', quiet: true, operation: described },
    onRequest: (request, reply) => answer(checks(), request, reply, statuses),
    handler: () => Promise.reject(new Error('unreachable: answered before')),
  });
  app.route(route('GET', '/v1/authorize/nginx', { allowed: 204, missing: 401 }, operation('nginx (auth_request)', 204)));
  for (const method of METHODS) {
    app.route(route(method, '/v1/authorize/envoy/*', { allowed: 200, missing: 403 }, operation('Envoy (ext_authz over HTTP)', 200)));
  }
}

async function answer(checks: GatewayChecks, { raw }: FastifyRequest, reply: FastifyReply, statuses: Statuses): Promise<void> {
  const decided = checks.ofHeaders(raw);
  send(reply, decided instanceof Promise ? await decided : decided, statuses);
  return reply as unknown as Promise<void>;
}

function send(reply: FastifyReply, authorization: Authorization, { allowed, missing }: Statuses): void {
  const status = authorization.allowed ? allowed : authorization.reason === 'certificate.missing' ? missing : 403;
  void reply.code(status).headers(answerHeaders(authorization)).header('cache-control', 'no-store');
  if (status === 401) void reply.header('www-authenticate', 'TLS realm="fleetroot"');
  void reply.send();
}
