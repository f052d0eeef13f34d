import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '@fleetroot/config';
import type { Secret } from '@fleetroot/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const PIN = 'FLEETROOT_CA_TOKEN_PIN';
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'fleetroot-config-'));
  for (const folder of ['full', 'empty', 'broken']) mkdirSync(join(dir, folder));
  writeFileSync(join(dir, 'pin-file'), 'of-the-file\n');
  writeFileSync(join(dir, 'full', PIN), 'of-the-credential\n');
  writeFileSync(join(dir, 'full/FLEETROOT_LEDGER_KEY'), '00ff\n');
  mkdirSync(join(dir, 'broken', PIN));
});

afterAll(() => rmSync(dir, { recursive: true }));

const environment = (values: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, name === PIN ? value : join(dir, value)]));

describe('a secret', () => {
  it.each([
    ['the file of its variable', { [`${PIN}_FILE`]: 'pin-file' }, 'of-the-file'],
    ['the systemd credential', { CREDENTIALS_DIRECTORY: 'full' }, 'of-the-credential'],
    ['the file where there is a credential too', { [`${PIN}_FILE`]: 'pin-file', CREDENTIALS_DIRECTORY: 'full' }, 'of-the-file'],
  ])('comes from %s', (_, values, expected) => {
    const { caTokenPin }: { caTokenPin: Secret } = readConfig(['caTokenPin'], environment(values));
    expect(caTokenPin.reveal()).toBe(expected);
  });

  it('of octets comes from the credential as well', () => {
    expect(readConfig(['ledgerKey'], environment({ CREDENTIALS_DIRECTORY: 'full' })).ledgerKey).toEqual(Uint8Array.of(0, 255));
  });

  const neither = `neither ${PIN}_FILE is set, nor is there a systemd credential ${PIN}`;
  it.each([
    ['nothing is set', {}, neither],
    ['the unit has no such credential', { CREDENTIALS_DIRECTORY: 'empty' }, neither],
    ['it stands in the environment itself', { [PIN]: 'in-clear' }, neither],
    ['its file is missing, and is not replaced', { [`${PIN}_FILE`]: 'gone', CREDENTIALS_DIRECTORY: 'full' }, `the file that ${PIN}_FILE names cannot be read (ENOENT)`],
    ['the credential cannot be read', { CREDENTIALS_DIRECTORY: 'broken' }, `the systemd credential ${PIN} cannot be read (EISDIR)`],
  ])('is missed where %s', (_, values, message) => {
    expect(() => readConfig(['caTokenPin'], environment(values))).toThrow(expect.objectContaining({ code: 'config.invalid', message: expect.stringContaining(message) }));
  });

  it('that is optional may be absent', () => {
    expect(readConfig(['redisUrl'], environment({ CREDENTIALS_DIRECTORY: 'empty' })).redisUrl).toBeUndefined();
  });
});
