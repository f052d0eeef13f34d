import { Body, Controller, Get, HttpCode, Module, Param, Post, Query, Res } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { type ErrorCode, errorCatalogue, PkiError } from '@fleetroot/core';
import { createLogger } from '@fleetroot/telemetry';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { z } from 'zod';
import { Caller, createHttpApp, healthModule, type HttpPrincipal, Limits, metricsModule, Public, readiness, Roles, ZodPipe } from '../src/index.ts';

const lines: Record<string, unknown>[] = [];
const logger = createLogger({ role: 'test', level: 'info', destination: { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) } });
const principals: Record<string, HttpPrincipal> = {
  'line-token': { id: 1, name: 'line-1', roles: ['line'] }, 'admin-token': { id: 2, name: 'root', roles: ['admin'] },
};
const authenticate = async (token: string) => principals[token];

@Controller('v1/things')
@Roles('line', 'admin')
class ThingController {
  @Get() all(@Caller() caller: HttpPrincipal) { return { caller: caller.name }; }
  @Get('mine') @Roles('line') mine() { return {}; }
  @Get(':id') @Public() one(@Param('id') id: string) { return { id }; }
  @Post() @HttpCode(200) make(@Body(new ZodPipe(z.strictObject({ name: z.string().max(5) }))) body: { name: string }) { return body; }
  @Post('raw') @Limits({ bodyLimit: 10, rawBody: true }) @HttpCode(200) raw(@Body() body: unknown) { return { body }; }
  @Get('find/it') find(@Query(new ZodPipe(z.strictObject({ limit: z.coerce.number().max(9).optional() }), 'http.query-invalid')) query: object) { return query; }
  @Get('fail/:code') @Public() fail(@Param('code') code: string) {
    if (code === 'surprise') throw new TypeError('the password is hunter2');
    throw new PkiError(code as ErrorCode, 'what to do next', { data: { limit: 7, status: 999 }, cause: new Error('hunter2') });
  }
  @Get('hang/about') @Public() async hang() { await new Promise((resolve) => setTimeout(resolve, 600)); return {}; }
}

@Controller('plain')
@Public()
class OctetController {
  @Post() @HttpCode(200) async octets(@Body() body: Buffer, @Res() reply: FastifyReply) { await reply.send(body.subarray(0, 1)); }
}

let ready = true;
@Module({
  imports: [healthModule({
    role: 'test',
    checks: {
      database: async () => { if (!ready) throw new PkiError('store.unavailable'); },
      other: async () => { if (!ready) throw new Error('postgres://user:hunter2@host'); },
    },
  }), metricsModule({ contentType: 'text/plain', render: async () => 'up 1\n' }, ['admin'])],
  controllers: [ThingController, OctetController],
})
class TestModule {}

let app: NestFastifyApplication;
beforeAll(async () => {
  app = await createHttpApp(TestModule, { logger, bodyLimit: 1000, requestTimeoutMs: 300, authenticate, octetTypes: ['application/octets'] });
});
afterAll(() => app.close());

const line = { authorization: 'Bearer line-token' };
const json = { 'content-type': 'application/json' };

describe('every error is a problem', () => {
  test.each([
    ['an unknown path', 'GET', '/nothing', {}, undefined, 404, 'http.not-found'],
    ['an unknown path under a version', 'POST', '/v1/nothing', json, '{}', 404, 'http.not-found'],
    ['a wrong method', 'DELETE', '/v1/things', line, undefined, 405, 'http.method-not-allowed'],
    ['a wrong method with a parameter', 'PUT', '/v1/things/4', {}, undefined, 405, 'http.method-not-allowed'],
    ['no token', 'GET', '/v1/things', {}, undefined, 401, 'auth.token-missing'],
    ['another scheme', 'GET', '/v1/things', { authorization: 'Basic bGluZS10b2tlbg==' }, undefined, 401, 'auth.token-invalid'],
    ['a wrong token', 'GET', '/v1/things', { authorization: 'Bearer other' }, undefined, 401, 'auth.token-invalid'],
    ['a wrong role', 'GET', '/v1/things/mine', { authorization: 'Bearer admin-token' }, undefined, 403, 'auth.forbidden'],
    ['a token before a body', 'POST', '/v1/things', json, 'not json', 401, 'auth.token-missing'],
    ['malformed JSON', 'POST', '/v1/things', { ...line, ...json }, '{"name":', 400, 'http.body-invalid'],
    ['an empty body', 'POST', '/v1/things', { ...line, ...json }, '', 400, 'http.body-invalid'],
    ['no body', 'POST', '/v1/things', line, undefined, 400, 'http.body-invalid'],
    ['a poisoned prototype', 'POST', '/v1/things', { ...line, ...json }, '{"__proto__":{"name":"x"}}', 400, 'http.body-invalid'],
    ['an unknown field', 'POST', '/v1/things', { ...line, ...json }, '{"name":"x","hunter2":1}', 400, 'http.body-invalid'],
    ['a long field', 'POST', '/v1/things', { ...line, ...json }, '{"name":"hunter2"}', 400, 'http.body-invalid'],
    ['another media type', 'POST', '/v1/things', { ...line, 'content-type': 'text/plain' }, 'x', 415, 'http.media-type'],
    ['NDJSON where none is taken', 'POST', '/v1/things', { ...line, 'content-type': 'application/x-ndjson' }, '{}', 415, 'http.media-type'],
    ['a large body', 'POST', '/v1/things', { ...line, ...json }, JSON.stringify({ name: 'x'.repeat(1000) }), 413, 'http.body-too-large'],
    ['a body over the limit of its route', 'POST', '/v1/things/raw', { ...line, ...json }, '{"a":12345678}', 413, 'http.body-too-large'],
    ['a wrong query', 'GET', '/v1/things/find/it?limit=hunter2', line, undefined, 400, 'http.query-invalid'],
    ['an unknown query', 'GET', '/v1/things/find/it?hunter2=1', line, undefined, 400, 'http.query-invalid'],
    ['a broken URL', 'GET', '/v1/things/%zz', {}, undefined, 404, 'http.not-found'],
    ['an empty parameter', 'GET', '/v1/things/', {}, undefined, 404, 'http.not-found'],
    ['a handler that takes too long', 'GET', '/v1/things/hang/about', {}, undefined, 408, 'http.timeout'],
    ['a bug', 'GET', '/v1/things/fail/surprise', {}, undefined, 500, 'internal'],
  ])('%s', async (_, method, url, headers, payload, status, code) => {
    const response = await app.inject({ method: method as 'GET', url, headers, ...(payload === undefined ? {} : { payload }) });
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toBe('application/problem+json');
    const problem = response.json<Record<string, unknown>>();
    expect(problem).toMatchObject({ code, status, type: `urn:fleetroot:problem:${code}`, title: errorCatalogue[code as ErrorCode].title });
    expect(problem['instance']).toBe(`urn:uuid:${String(response.headers['x-request-id'])}`);
    expect(response.body).not.toContain('hunter2');
    if (status === 401) expect(response.headers['www-authenticate']).toMatch(/^Bearer /);
    if (status === 405) expect(response.headers['allow']).toMatch(/GET/);
  });

  test.each(Object.entries(errorCatalogue))('%s has a status of its kind', async (code, { kind }) => {
    const response = await app.inject({ method: 'GET', url: `/v1/things/fail/${code}` });
    const problem = response.json<Record<string, unknown>>();
    expect(problem).toMatchObject({ code, status: response.statusCode });
    expect(response.statusCode >= 500).toBe(['internal', 'unavailable', 'timeout'].includes(kind) && code !== 'http.timeout');
    expect(response.body).not.toContain('hunter2');
    expect(problem['limit']).toBe(kind === 'internal' ? undefined : 7);
    expect(response.headers['retry-after']).toBe(kind === 'unavailable' || kind === 'too-many' ? '5' : undefined);
  });
});

describe('what is let through', () => {
  it('knows the caller, and takes JSON and octets', async () => {
    expect((await app.inject({ method: 'GET', url: '/v1/things', headers: line })).json()).toEqual({ caller: 'line-1' });
    expect((await app.inject({ method: 'POST', url: '/v1/things', headers: { ...line, ...json }, payload: '{"name":"x"}' })).json()).toEqual({ name: 'x' });
    expect((await app.inject({ method: 'POST', url: '/plain', headers: { 'content-type': 'application/octets' }, payload: 'abc' })).body).toBe('a');
  });

  it('logs one line a request: no query, no body, no token', async () => {
    lines.length = 0;
    await app.inject({ method: 'GET', url: '/v1/things/find/it?limit=8', headers: line });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'info', msg: 'request', method: 'GET', route: '/v1/things/find/it', status: 200, principal: 'line-1' });
    expect(JSON.stringify(lines)).not.toMatch(/limit=8|line-token/);
  });

  it('logs the cause of a fault of ours under the id the caller got', async () => {
    lines.length = 0;
    const response = await app.inject({ method: 'GET', url: '/v1/things/fail/surprise' });
    expect(lines.find((line) => line['level'] === 'error')).toMatchObject({ requestId: response.headers['x-request-id'], err: { message: 'the password is hunter2' } });
  });
});

describe('a route that does not say who may use it', () => {
  const refused = async (controller: new () => object, options: object = { authenticate }) => {
    class Bare {}
    Module({ controllers: [controller] })(Bare);
    return createHttpApp(Bare, { logger, bodyLimit: 1, requestTimeoutMs: 1, ...options }).then(
      async (made) => { await made.close(); return 'started'; }, (error: unknown) => (error as PkiError).message);
  };
  it('keeps the app from starting', async () => {
    @Controller('a') class Silent { @Get() @Public() open() { return 1; } @Get('b') closed() { return 1; } }
    expect(await refused(Silent)).toMatch(/GET \/a\/b has neither @Roles nor @Public/);
  });
  it('also where it names no role, or nobody can have one', async () => {
    @Controller('a') class Nobody { @Get() @Roles() closed() { return 1; } }
    @Controller('a') class Line { @Get() @Roles('line') closed() { return 1; } }
    expect(await refused(Nobody)).toMatch(/names no role/);
    expect(await refused(Line, {})).toMatch(/knows no principals/);
    expect(await refused(Line)).toBe('started');
  });
});

describe('health', () => {
  it('says what is not ready, without a driver\'s words', async () => {
    expect((await app.inject('/healthz')).json()).toEqual({ status: 'ok', role: 'test' });
    expect((await app.inject('/metrics')).statusCode).toBe(401);
    expect((await app.inject({ url: '/metrics', headers: line })).statusCode).toBe(403);
    expect((await app.inject({ url: '/metrics', headers: { authorization: 'Bearer admin-token' } })).body).toBe('up 1\n');
    expect((await app.inject('/readyz')).statusCode).toBe(200);
    ready = false;
    await new Promise((resolve) => setTimeout(resolve, 550));
    const response = await app.inject('/readyz');
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({ ready: false, checks: { database: { ready: false, reason: 'The database is not available' }, other: { ready: false } } });
    expect(response.body).not.toContain('hunter2');
  });
  it('says what is ready with less than it should have, and since when', async () => {
    const since = new Date('2026-11-22T00:00:00Z');
    expect(await readiness({ whole: async () => undefined, less: async () => ({ reason: 'from memory', since }) })).toEqual({
      ready: true, degraded: true, checks: { whole: { ready: true }, less: { ready: true, degraded: true, reason: 'from memory', since: since.toISOString() } },
    });
    expect(await readiness({ whole: async () => undefined })).toEqual({ ready: true, checks: { whole: { ready: true } } });
  });
});
