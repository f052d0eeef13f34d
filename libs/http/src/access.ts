import { PkiError } from '@fleetroot/core';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import type { HttpPrincipal, RouteRules } from './route.ts';

/**
 * The principal of a bearer token, or undefined where the token is none, expired, or of somebody disabled.
 * @param rules of the route that is called
 */
export type Authenticate = (token: string, rules: RouteRules) => Promise<HttpPrincipal | undefined>;

/** The `b64token` of RFC 6750. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/**
 * Refuses at start what has not said who may use it, and at each request who may not: before the body is read, and also
 * for routes that Nest does not know.
 */
export function enforceAccess(app: FastifyInstance, authenticate: Authenticate | undefined): void {
  app.decorateRequest('principal', undefined);
  app.addHook('onRoute', (route) => checkRoute(route, authenticate !== undefined));
  app.addHook('onRequest', async (request) => {
    if (request.is404) return;
    const access = request.routeOptions.config.access;
    if (access === 'public') return;
    // Unreachable while checkRoute runs; kept so that a route that slips past it is closed and not open.
    if (access === undefined || authenticate === undefined) throw new PkiError('auth.forbidden');
    const principal = await authenticate(bearerToken(request), request.routeOptions.config);
    if (principal === undefined) throw new PkiError('auth.token-invalid', 'the token is unknown, has expired or was replaced');
    if (!principal.roles.some((role) => access.includes(role))) {
      throw new PkiError('auth.forbidden', `this needs one of the roles ${access.join(', ')}`);
    }
    request.principal = principal;
  });
}

function checkRoute(route: RouteOptions, canAuthenticate: boolean): void {
  const access = route.config?.access;
  const name = `${String(route.method)} ${route.url}`;
  if (access === undefined) throw new PkiError('config.invalid', `the route ${name} has neither @Roles nor @Public`);
  if (access === 'public') return;
  if (access.length === 0) throw new PkiError('config.invalid', `the route ${name} names no role`);
  if (!canAuthenticate) throw new PkiError('config.invalid', `the route ${name} needs a role, and this app knows no principals`);
}

function bearerToken(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (header === undefined) throw new PkiError('auth.token-missing', 'send the header "Authorization: Bearer TOKEN"');
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw new PkiError('auth.token-invalid', 'the Authorization header is not "Bearer TOKEN"');
  return token;
}
