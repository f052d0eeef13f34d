import type { FastifyInstance, RouteOptions } from 'fastify';
import type { Operation } from '../openapi/operation.ts';
import { answerFields } from './answer.ts';
import { envoy, nginx, type ProxyFront, type Statuses } from './proxy-front.ts';

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

/**
 * The routes of the forms in which proxies ask. `ProxyFront` answers before they are looked for; here they are declared, with
 * who may use them, and answered where a path is spelled in another way.
 */
export function proxyRoutes(app: FastifyInstance, front: ProxyFront): void {
  const route = (method: (typeof envoy.methods)[number], url: string, statuses: Statuses, described: Operation): RouteOptions => ({
    method, url, exposeHeadRoute: false,
    // By its address and token the caller is known to GatewayChecks.
    config: { access: 'public', quiet: true, operation: described },
    onRequest: async (request, reply) => {
      reply.hijack();
      front.answer(request.raw, reply.raw, statuses);
    },
    handler: () => Promise.reject(new Error('unreachable: answered before')),
  });
  for (const method of nginx.methods) app.route(route(method, nginx.path, nginx.statuses, operation('nginx (auth_request)', nginx.statuses.allowed)));
  for (const method of envoy.methods) {
    app.route(route(method, `${envoy.prefix}*`, envoy.statuses, operation('Envoy (ext_authz over HTTP)', envoy.statuses.allowed)));
  }
}
