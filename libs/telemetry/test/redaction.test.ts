import { describe, expect, it, test } from 'vitest';
import { PkiError, Secret } from '@fleetroot/core';
import { createLogger, describeError, isForbiddenKey, nestLogger, plainLine, redact, redactText } from '../src/index.ts';

const VIN = '1M8GDM9AXKP042788';

function capture(): { lines: string[]; logger: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ role: 'test', level: 'debug', destination: { write: (line: string) => void lines.push(line) } }) };
}

describe('names of fields', () => {
  test.each(['pin', 'PIN', 'userPin', 'caTokenPIN', 'ca_token_pin', 'token', 'accesstoken', 'X-Auth-Token', 'authorization', 'Authorization',
    'proxy-authorization', 'password', 'dbpassword', 'csr', 'csrDer', 'CSR_PEM', 'vin', 'vehicleVin', 'secret', 'sharedSecrets', 'cookie',
    'set-cookie', 'body', 'requestBody'])('%s is removed', (key) => expect(isForbiddenKey(key)).toBe(true));
  test.each(['pinned', 'spin', 'vinyl', 'code', 'batchId', 'tokenize', 'serial', 'ecuSerial', 'bodySize'.slice(4)])('%s stays', (key) => {
    expect(isForbiddenKey(key)).toBe(false);
  });
});

describe('values', () => {
  const cyclic: Record<string, unknown> = { name: 'x' };
  cyclic['self'] = cyclic;
  test.each<[string, unknown, unknown]>([
    ['nested', { a: [{ b: { pin: '1', c: 2 } }] }, { a: [{ b: { c: 2 } }] }],
    ['octets', { der: new Uint8Array(5) }, { der: '[5 octets]' }],
    ['a secret', { value: new Secret('s') }, { value: '[secret]' }],
    ['a bigint', { id: 12n }, { id: '12' }],
    ['a date', { at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }],
    ['a map', new Map<string, unknown>([['token', 1], ['kept', 2]]), { kept: 2 }],
    ['an object of a class', { request: new (class Request { url = '/?vin=x'; })() }, { request: '[Request]' }],
    ['a cycle', cyclic, { name: 'x', self: '[cut]' }],
    ['a toJSON that tells', { toJSON: () => ({ password: 'p', kept: 1 }) }, { kept: 1 }],
  ])('%s', (_name, value, expected) => expect(redact(value)).toEqual(expected));
});

test.each([
  [`GET with frt_${'a'.repeat(43)} refused`, 'GET with [token] refused'],
  ['connect postgres://owner:pass%40word@db:5432/x failed', 'connect postgres://[redacted]@db:5432/x failed'],
  [`vehicle ${VIN} unknown`, 'vehicle [VIN] unknown'],
  ['serial 11111111111111112 stays', 'serial 11111111111111112 stays'],
  ['-----BEGIN CERTIFICATE REQUEST-----\nMII\n-----END CERTIFICATE REQUEST----- x', '[PEM] x'],
])('text %#', (text, expected) => expect(redactText(text)).toBe(expected));

describe('errors', () => {
  it('show data of a PkiError and of no other', () => {
    const foreign = Object.assign(new Error('no'), { code: '23505', data: { row: 1 }, detail: 'Key (vin)=(x)' });
    const shown = describeError(new PkiError('store.unavailable', 'away', { cause: foreign, data: { host: 'db', token: 'x' } }));
    expect(shown).toMatchObject({ type: 'PkiError', code: 'store.unavailable', message: 'away', data: { host: 'db' } });
    expect(shown['cause']).toEqual({ type: 'Error', code: '23505', message: 'no', stack: expect.any(String) });
    expect(shown['data']).not.toHaveProperty('token');
  });
  it('end in one plain line', () => {
    expect(plainLine('api', new PkiError('config.invalid', 'A is not set;\nB is not set'))).toBe('fleetroot api: config.invalid: A is not set; B is not set');
    expect(plainLine('api', new Error('x'))).toBe('fleetroot api: internal: x');
  });
});

describe('the logger', () => {
  test.each<[string, (logger: ReturnType<typeof createLogger>) => void]>([
    ['fields', (logger) => logger.info({ a: { csr: 'SECRET' }, authorization: 'SECRET' }, 'm')],
    ['interpolation', (logger) => logger.info('m %o %s', { pin: 'SECRET' }, `frt_${'SECRET'.repeat(7)}`)],
    ['bindings of a child', (logger) => logger.child({ token: 'SECRET' }).info('m')],
    ['bindings of a grandchild', (logger) => logger.child({ a: 1 }).child({ x: { token: 'SECRET' } }).info('m')],
    ['an error', (logger) => logger.error(Object.assign(new Error('x'), { params: ['SECRET'] }))],
    ['an error as a field', (logger) => logger.error({ err: Object.assign(new Error('x'), { body: 'SECRET' }) }, 'm')],
    ['an error under another name', (logger) => logger.error({ reason: Object.assign(new Error('x'), { body: 'SECRET' }) }, 'm')],
    ['Nest', (logger) => nestLogger(logger).error(Object.assign(new Error('x'), { body: 'SECRET' }), 'Ctx')],
    ['Nest with an object', (logger) => nestLogger(logger).log({ pin: 'SECRET' }, 'Ctx')],
  ])('keeps secrets out: %s', (_name, call) => {
    const { lines, logger } = capture();
    call(logger);
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('SECRET');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ role: 'test', pid: process.pid, time: expect.stringMatching(/Z$/) });
  });
  it('names levels, and shows an error with its stack', () => {
    const { lines, logger } = capture();
    logger.warn(new PkiError('queue.unavailable', 'gone'));
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'warn', msg: 'gone', err: { code: 'queue.unavailable', stack: expect.any(String) } });
  });
});
