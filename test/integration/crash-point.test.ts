// Crash points are armed by a module that is loaded before the program, and by nothing that the product itself reads.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { settings } from '@fleetroot/config';
import { crashPoints } from '@fleetroot/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environmentFor, parseSetting } from '../../apps/cli/src/up/environment.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const arm = join(root, 'test/support/crash-arm.mjs');
const core = join(root, 'libs/core/src/index.ts');
const program = `import(${JSON.stringify(core)}).then(({ crashPoint }) => { for (let i = 0; i < 3; i++) crashPoint('issuance.signed'); console.log('lives ' + new Date().getFullYear()); })`;

let folder: string;
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'fleetroot-crash-')); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (preload: boolean, environment: Record<string, string>) => spawnSync(process.execPath, [
  '--conditions=fleetroot-source', ...(preload ? ['--import', arm] : []), '--input-type=module', '--eval', program,
], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', ...environment } });

const order = (point: string, text: string): void => writeFileSync(join(folder, `arm.${point}`), text);

describe('a process that comes to a crash point', () => {
  it.each([
    ['lives without the module, whatever is in its environment', false, 'issuance.signed', 'a 1', null],
    ['dies with it, at the first arrival', true, 'issuance.signed', 'b 1', 'SIGKILL'],
    ['dies at the arrival that was ordered', true, 'issuance.signed', 'c 3', 'SIGKILL'],
    ['lives where it arrives less often', true, 'issuance.signed', 'd 4', null],
    ['lives where another point was ordered', true, 'issuance.stored', 'e 1', null],
  ] as const)('%s', (_, preload, point, text, signal) => {
    order(point, text);
    const ended = run(preload, { FAULTS_FOLDER: folder, FAULTS_ROLE: 'issuer', FLEETROOT_CRASH_POINT: 'issuance.signed' });
    rmSync(join(folder, `arm.${point}`), { force: true });
    expect([ended.signal, ended.stdout.startsWith('lives'), ended.stderr]).toEqual([signal, signal === null, '']);
  });

  it('lives by the clock that was ordered for its role', () => {
    writeFileSync(join(folder, 'clock.issuer'), String(10 * 365.25 * 86_400_000));
    const year = (role: string): number => Number(run(true, { FAULTS_FOLDER: folder, FAULTS_ROLE: role }).stdout.split(' ')[1]);
    expect(year('issuer') - year('api')).toBe(10);
  });
});

describe('the product', () => {
  const sources = globSync(['libs/*/src/**/*.ts', 'libs/protocols/*/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root })
    .map((path) => [path, readFileSync(join(root, path), 'utf8')] as const);

  it('has one place that looks whether a point is armed, and none that arms it', () => {
    expect(sources.length).toBeGreaterThan(100);
    expect(sources.filter(([, text]) => /fleetroot\.crash-point|crash-arm|FAULTS_/.test(text)).map(([path]) => path)).toEqual(['libs/core/src/crash-point.ts']);
    expect(sources.filter(([, text]) => /\[ARMED\]\s*=[^=]/.test(text))).toEqual([]);
  });

  it('comes to every point that has a name', () => {
    const called = new Set(sources.flatMap(([, text]) => Array.from(text.matchAll(/crashPoint\('([^']+)'\)/g), ([, name]) => name)));
    expect([...called].sort()).toEqual([...crashPoints].sort());
  });

  it('has no setting for them, and gives its roles nothing of its own environment', () => {
    expect(Object.entries(settings).filter(([name, { variable }]) => /crash|fault|node_options/i.test(`${name} ${variable}`))).toEqual([]);
    expect(() => parseSetting('NODE_OPTIONS=--import=/tmp/x.mjs')).toThrow(expect.objectContaining({ code: 'config.invalid' }) as Error);
    const before = process.env['NODE_OPTIONS'];
    process.env['NODE_OPTIONS'] = '--no-warnings';
    try {
      for (const role of ['api', 'issuer', 'status', 'worker'] as const) {
        expect(Object.keys(environmentFor(role, { logLevel: 'info' }, '/tmp/softhsm2.conf')).sort()).toEqual(['FLEETROOT_LOG_LEVEL', 'NODE_ENV', 'PATH', 'SOFTHSM2_CONF', 'TZ']);
      }
    } finally {
      if (before === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = before;
    }
  });
});
