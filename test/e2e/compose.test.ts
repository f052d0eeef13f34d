import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres } from '@fleetroot/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { openFolder } from '../support/folder.ts';
import { opensslKeyAndRequest } from '../support/openssl.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/product.ts';
import { startRedis } from '../support/redis.ts';

// No container engine here: each command of the compose file runs outside a container, with the environment that the
// file gives, on a real PostgreSQL and Redis. Only what a container would provide is replaced: paths, hosts, ports.
interface Service {
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly deploy?: { readonly replicas: number };
  readonly depends_on?: Readonly<Record<string, unknown>>;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const compose = parse(readFileSync(join(ROOT, 'docker/compose.yaml'), 'utf8'), { merge: true }) as { services: Record<string, Service>; secrets: object; volumes: object };
const folder = openFolder('fleetroot-compose-');
const children: { name: string; child: ChildProcess; printed: () => string }[] = [];
const cleanUp: (() => Promise<void>)[] = [];
let translate: (text: string) => string;
let api: string;

beforeAll(async () => {
  const postgres = await startEmbeddedPostgres({ dataDir: folder, onNotice: () => undefined });
  cleanUp.push(() => postgres.stop());
  const redis = await startRedis();
  cleanUp.push(() => redis.stop());
  mkdirSync(join(folder, 'run'), { mode: 0o700 });
  writeFileSync(join(folder, 'run/admin-database-url'), postgres.adminUrl.reveal(), { mode: 0o600 });
  writeFileSync(join(folder, 'run/redis-url'), redis.url.reveal(), { mode: 0o600 });
  const ports = new Map<string, number>();
  for (const port of ['8080', '8081', '8082', '8443']) ports.set(port, await freePort());
  translate = (text) => text
    .replace(/^\/data(?=\/|$)/, join(folder, 'data')).replace(/^\/run\/secrets/, join(folder, 'run'))
    .replace(/(0\.0\.0\.0|status|status\.fleetroot\.example):(\d+)/, (_, __, port: string) => `127.0.0.1:${ports.get(port)}`);
  api = `http://127.0.0.1:${ports.get('8080')}`;
}, 120_000);

afterAll(async () => {
  await Promise.all(children.map(({ child }) => ended(child, 'SIGKILL')));
  for (const step of cleanUp.reverse()) await step();
  rmSync(folder, { recursive: true, force: true });
});

function invocation(name: string): { file: string; args: string[]; env: Record<string, string> } {
  const { command = [], environment = {} } = compose.services[name] ?? {};
  expect(command[0], name).toBe('node');
  return {
    file: process.execPath, args: command.slice(1).map(translate),
    env: { PATH: '/usr/bin:/bin', ...Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, translate(value)])) },
  };
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill(signal);
  });
}

test('the file names what it uses', () => {
  const names = Object.keys(compose.services);
  expect(names).toEqual(['postgres', 'redis', 'init', 'api', 'issuer', 'status', 'worker']);
  for (const [name, service] of Object.entries(compose.services)) {
    for (const needed of Object.keys(service.depends_on ?? {})) expect(names, `${name} needs ${needed}`).toContain(needed);
  }
  expect(compose.services['issuer']?.deploy?.replicas).toBeGreaterThan(1);
  // Each token's folder and PIN go to one role alone.
  const knows = (text: string) => names.filter((name) => JSON.stringify(compose.services[name]?.environment ?? {}).includes(text));
  expect(knows('ca-token.pin')).toEqual(['issuer']);
  expect(knows('ocsp-token.pin')).toEqual(['status']);
  expect(knows('/secrets/database-url')).toEqual(['api', 'issuer', 'worker']);
});

test('init prepares everything, and a second time changes nothing', () => {
  const { file, args, env } = invocation('init');
  for (const round of ['first', 'second']) {
    const run = spawnSync(file, args, { cwd: ROOT, env, encoding: 'utf8', timeout: 60_000 });
    expect(run.status, `${round}: ${run.stdout}${run.stderr}`).toBe(0);
  }
});

test('every role starts by its command, and together they issue', async () => {
  for (const name of ['issuer', 'issuer', 'status', 'worker', 'api']) {
    const { file, args, env } = invocation(name);
    const child = spawn(file, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (printed += data.toString()));
    children.push({ name, child, printed: () => printed });
  }
  await until(async () => {
    for (const { name, child, printed } of children) if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${printed()}`);
    return (await fetch(`${api}/readyz`).catch(() => undefined))?.ok === true;
  }, 60_000, () => children.map(({ name, printed }) => `${name}: ${printed()}`).join('\n'));

  const token = readFileSync(join(folder, 'data/secrets/line.token'), 'utf8').trim();
  const issued = await fetch(`${api}/v1/certificates`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ profile: 'ecu-client', ecuSerial: 'COMPOSE-1', partNumber: 'TCU-1', csr: opensslKeyAndRequest(folder, 'ecu', 'compose') }),
  });
  expect(issued.status, await issued.clone().text()).toBe(201);
});

test('every role ends by SIGTERM, cleanly', async () => {
  const ends = await Promise.all(children.map(async ({ name, child }) => `${name} ${await ended(child, 'SIGTERM')}`));
  expect(ends).toEqual(['issuer 0', 'issuer 0', 'status 0', 'worker 0', 'api 0']);
});
