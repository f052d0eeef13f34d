import { describe, expect, it } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { isUniqueViolation, sqlState, storeError } from '../src/errors.ts';

const pgError = (code: string) => Object.assign(new Error('said by PostgreSQL'), { code, severity: 'ERROR' });
const prismaError = (code: string, originalCode?: string) => Object.assign(new Error('said by Prisma'), {
  code, meta: { driverAdapterError: { name: 'DriverAdapterError', cause: { kind: 'postgres', originalCode } } },
});

describe('storeError', () => {
  it.each([
    ['connection refused', Object.assign(new Error(''), { code: 'ECONNREFUSED' }), 'store.unavailable'],
    ['refused on every address', new AggregateError([Object.assign(new Error(''), { code: 'ECONNREFUSED' })]), 'store.unavailable'],
    ['connection cut', new Error('Connection terminated unexpectedly'), 'store.unavailable'],
    ['no connection free', new Error('timeout exceeded when trying to connect'), 'store.unavailable'],
    ['peer silent', new Error('Query read timeout'), 'store.unavailable'],
    ['shutting down', pgError('57P01'), 'store.unavailable'],
    ['starting up', pgError('57P03'), 'store.unavailable'],
    ['statement timeout', pgError('57014'), 'store.unavailable'],
    ['lock timeout', pgError('55P03'), 'store.unavailable'],
    ['too many connections', pgError('53300'), 'store.unavailable'],
    ['disk full', pgError('53100'), 'store.unavailable'],
    ['deadlock', pgError('40P01'), 'store.unavailable'],
    ['password changed', pgError('28P01'), 'store.unavailable'],
    ['Prisma: password changed', prismaError('P1000'), 'store.unavailable'],
    ['Prisma: not reachable', prismaError('P1001'), 'store.unavailable'],
    ['Prisma: shutting down', prismaError('P2010', '57P01'), 'store.unavailable'],
    ['a table is missing', pgError('42P01'), 'store.migration'],
    ['a column is missing', pgError('42703'), 'store.migration'],
    ['a check refused the row', pgError('23514'), 'internal'],
    ['no right', pgError('42501'), 'internal'],
    ['anything else', new TypeError('x is undefined'), 'internal'],
    ['one of ours', new PkiError('ca.not-active'), 'ca.not-active'],
  ])('%s', (_, error, code) => {
    expect(storeError(error).code).toBe(code);
  });

  it('never repeats what PostgreSQL said of the row', () => {
    const error = Object.assign(new Error('duplicate key: (vin)=(secret)'), { code: '23505', detail: 'secret' });
    expect(storeError(error).message).toBe('the database refused a statement (SQLSTATE 23505)');
  });
});

it.each([
  ['pg', pgError('23505'), true], ['Prisma', prismaError('P2002'), true], ['another', pgError('23503'), false], ['none', undefined, false],
])('isUniqueViolation: %s', (_, error, expected) => {
  expect(isUniqueViolation(error)).toBe(expected);
});

it.each([[pgError('23505'), '23505'], [prismaError('P2010', '40001'), '40001'], [prismaError('P2002'), undefined], [Object.assign(new Error(''), { code: 'EPIPE' }), undefined]])(
  'sqlState %#', (error, expected) => {
    expect(sqlState(error)).toBe(expected);
  });
