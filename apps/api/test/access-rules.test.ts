import { Validator } from '@seriousme/openapi-schema-validator';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { roles } from '@fleetroot/access';
import { type AppRoute, createHttpApp, healthModule, metricsModule } from '@fleetroot/http';
import { createLogger } from '@fleetroot/telemetry';
import { apiModule, type ApiParts, deviceModule } from '../src/api-module.ts';
import { GatewayChecks } from '../src/authorize/gateway-checks.ts';
import { Proxies } from '../src/authorize/proxies.ts';
import { ProxyFront } from '../src/authorize/proxy-front.ts';
import { proxyRoutes } from '../src/authorize/proxy-routes.ts';
import { openApiDocument } from '../src/openapi/document.ts';

/** Who may call what. A change here is a change of the product's promise: make it on purpose. */
const table: Readonly<Record<string, readonly string[]>> = {
  'POST /v1/batches': ['line', 'admin'],
  'GET /v1/batches': ['line', 'admin', 'auditor'],
  'POST /v1/batches/:id/cancel': ['line', 'admin'],
  'POST /v1/uploads': ['line', 'admin'],
  'GET /v1/uploads/:id': ['line', 'admin', 'auditor'],
  'PATCH /v1/uploads/:id': ['line', 'admin'],
  'POST /v1/uploads/:id/accept': ['line', 'admin'],
  'DELETE /v1/uploads/:id': ['line', 'admin'],
  'GET /v1/batches/:id': ['line', 'admin', 'auditor'],
  'GET /v1/batches/:id/certificates': ['line', 'admin', 'auditor'],
  'GET /v1/batches/:id/events': ['line', 'admin', 'auditor'],
  'POST /v1/key-batches': ['line', 'admin'],
  'GET /v1/key-batches/:id': ['line', 'admin'],
  'GET /v1/key-batches/:id/keys': ['line', 'admin'],
  'POST /v1/key-batches/:id/keys/:ordinal': ['line', 'admin'],
  'POST /v1/key-batches/:id/acknowledgements': ['line', 'admin'],
  'POST /v1/certificates': ['line', 'gateway', 'admin'],
  'GET /v1/certificates': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'GET /v1/certificates/:serial': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'POST /v1/certificates/:serial/revocation': ['security', 'admin'],
  'POST /v1/revocations': ['security', 'admin'],
  'GET /v1/revocations': ['security', 'admin', 'auditor'],
  'GET /v1/revocations/:id': ['security', 'admin', 'auditor'],
  'GET /v1/revocations/:id/targets': ['security', 'admin', 'auditor'],
  'POST /v1/revocations/:id/approvals': ['admin'],
  'POST /v1/revocations/:id/cancel': ['security', 'admin'],
  'POST /v1/authorize': ['gateway', 'admin'],
  'GET /v1/truststores': ['gateway', 'admin', 'security', 'auditor'],
  'GET /v1/truststores/:name': ['gateway', 'admin', 'security', 'auditor'],
  'GET /v1/truststores/:name/crls': ['gateway', 'admin', 'security', 'auditor'],
  'PUT /v1/truststores/:name': ['admin'],
  'GET /v1/cas': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'GET /v1/cas/:name': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'GET /v1/cas/:name/chain': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'POST /v1/cas': ['admin'],
  'POST /v1/cas/:name/certificates': ['admin'],
  'PUT /v1/cas/:name/crl': ['admin'],
  'POST /v1/cas/:name/state': ['admin'],
  'PUT /v1/cas/:name/succession': ['admin'],
  'DELETE /v1/cas/:name/succession': ['admin'],
  'POST /v1/cas/:name/revocation': ['security', 'admin'],
  'GET /v1/profiles': ['admin', 'security', 'auditor', 'line', 'gateway'],
  'GET /v1/suppliers': ['admin', 'security', 'auditor'],
  'POST /v1/suppliers': ['admin'],
  'GET /v1/registrations': ['admin', 'security', 'auditor'],
  'GET /v1/principals': ['admin', 'auditor'],
  'POST /v1/principals': ['admin'],
  'GET /v1/audit': ['auditor'],
  'GET /metrics': ['auditor', 'admin'],
};
/** Whoever has the key of a certificate shows it by a signature. */
const openResources = ['POST /v1/revocations/proof'];
/** Open by token; what they answer to whom is told by the address of the proxy: see authorize-headers.test.ts. */
const proxies = ['GET /v1/authorize/nginx', ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => `${method} /v1/authorize/envoy/*`)];
const open = [...openResources, 'GET /healthz', 'GET /readyz', 'GET /openapi.json', 'GET /docs', 'GET /docs/:file'];

const routes: AppRoute[] = [];
const deviceRoutes: AppRoute[] = [];
const logger = createLogger({ role: 'test', level: 'silent' });
let app: NestFastifyApplication;
let deviceApp: NestFastifyApplication;

// Nothing behind the routes is there: who is let through meets that, and gets a 500 or a 400; who is not gets a 403.
beforeAll(async () => {
  const document = (): object => openApiDocument([{ routes }, { routes: deviceRoutes, url: 'https://device' }], '0.1.0');
  const gatewayChecks = new GatewayChecks({ authorizer: { texts: () => undefined } as never, proxies: Proxies.parse(undefined), principalOf: async () => undefined, onAnswer: () => undefined });
  const parts = { document, gatewayChecks } as unknown as ApiParts;
  const observation = [healthModule({ role: 'api', checks: {} }), metricsModule({ contentType: 'text/plain', render: async () => '' }, ['auditor', 'admin'])];
  const options = { logger, bodyLimit: 1000, requestTimeoutMs: 1000 };
  app = await createHttpApp(apiModule(parts, observation), {
    ...options, authenticate: async (token) => ({ id: 1, name: token, roles: [token] }), onRoute: (route) => routes.push(route),
    plainRoutes: (fastify) => proxyRoutes(fastify, new ProxyFront(gatewayChecks, () => undefined)),
  });
  deviceApp = await createHttpApp(deviceModule(parts), { ...options, onRoute: (route) => deviceRoutes.push(route) });
});
afterAll(() => Promise.all([app.close(), deviceApp.close()]));

const described = (route: string): boolean => route.includes(' /v1/') && !route.startsWith('HEAD ');
const nameOf = ({ method, url }: AppRoute): string => `${method} ${url}`;

describe('the routes', () => {
  it('are those of the table, and no more', () => {
    const names = routes.filter(({ method }) => method !== 'HEAD').map(nameOf);
    expect(names.toSorted()).toEqual([...Object.keys(table), ...open, ...proxies.filter((route) => !route.startsWith('HEAD '))].toSorted());
    expect(deviceRoutes.filter(({ method }) => method !== 'HEAD').map(nameOf).toSorted())
      .toEqual(['GET /v1/device/renewal', 'POST /v1/device/registration', 'POST /v1/device/renewal']);
  });
  test.each(Object.entries(table).flatMap(([route, allowed]) => roles.map((role) => [route, role, allowed.includes(role)] as const)))('%s as %s: %s', async (route, role, allowed) => {
    const [method, url] = route.split(' ') as ['GET', string];
    const { statusCode } = await app.inject({ method, url: url.replace(/:\w+/, '0f'), headers: { authorization: `Bearer ${role}` } });
    if (allowed) expect([401, 403, 405]).not.toContain(statusCode);
    else expect(statusCode).toBe(403);
  });
  test.each(Object.keys(table))('%s without a token', async (route) => {
    const [method, url] = route.split(' ') as ['GET', string];
    const response = await app.inject({ method, url: url.replace(/:\w+/, '0f') });
    expect(response.statusCode).toBe(401);
    expect(response.json()).toMatchObject({ code: 'auth.token-missing' });
  });
});

describe('the routes of proxies', () => {
  // The address of an injected request is 127.0.0.1, and no setting names it.
  test.each(proxies.flatMap((route) => [undefined, ...roles].map((role) => [route, role] as const)))('%s as %s', async (route, role) => {
    const [method, url] = route.split(' ') as ['GET', string];
    const response = await app.inject({ method, url: url.replace('*', 'a/b?c'), headers: { 'x-ssl-client-cert': 'x', ...(role === undefined ? {} : { authorization: `Bearer ${role}` }) } });
    expect(response.statusCode).toBe(403);
    expect(response.headers['x-fleetroot-reason']).toBe('proxy.unknown');
  });
});

describe('the OpenAPI document', () => {
  it('is valid OpenAPI 3.1', async () => {
    const document = (await app.inject('/openapi.json')).json<Record<string, unknown>>();
    const result = await new Validator().validate(document);
    expect(result).toMatchObject({ valid: true });
    expect(document).toMatchObject({ openapi: '3.1.0' });
  });
  it('describes every resource, and the device listener\'s', async () => {
    const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, { 'x-roles'?: string[] }>> }>();
    const told = Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(item).filter((key) => key !== 'servers').map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`));
    const resources = [...Object.keys(table), ...openResources, ...proxies].filter(described);
    expect(told.toSorted()).toEqual([...resources, 'GET /v1/device/renewal', 'POST /v1/device/registration', 'POST /v1/device/renewal'].toSorted());
    expect(paths['/v1/audit']?.['get']?.['x-roles']).toEqual(['auditor']);
  });
  it('refers to nothing that it lacks', async () => {
    const text = (await app.inject('/openapi.json')).body;
    const { components } = JSON.parse(text) as { components: { schemas: object } };
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) expect(components.schemas).toHaveProperty(name ?? '');
    expect(text).not.toContain('#/$defs');
  });
});

describe('the page', () => {
  it('loads nothing from elsewhere', async () => {
    const page = await app.inject('/docs');
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'/);
    const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url ?? '');
    expect(assets).toHaveLength(4);
    for (const url of assets) {
      expect(url).toMatch(/^\/docs\//);
      expect((await app.inject(url)).statusCode).toBe(200);
    }
    for (const url of ['/docs/../start.ts', '/docs/package.json', '/docs/__proto__', '/docs/constructor']) {
      expect((await app.inject(url)).statusCode).toBe(404);
    }
  });
});
