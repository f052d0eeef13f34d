// The two commands of README, as a user gives them: what `fleetroot up` says, leaves and ends with.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../support/folder.ts';
import { freePort } from '../support/ports.ts';

const MAIN = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url));

let folder: string;
let dataDir: string;
let ports: string[];
beforeAll(async () => {
  folder = openFolder('fleetroot-up-');
  // PostgreSQL's own user must pass, where the tests run as root.
  execFileSync('chmod', ['755', folder]);
  dataDir = join(folder, 'data');
  const [api, device, status, internal] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  ports = ['--api-port', String(api), '--device-port', String(device), '--status-port', String(status), '--status-internal-port', String(internal)];
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fleetroot(...parameters: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...parameters], { encoding: 'utf8', timeout: 170_000 });
  return { status, output: `${stdout}${stderr}` };
}

/** `fleetroot up` in the background, once it has said `line`. */
async function upUntil(line: string, ...parameters: string[]): Promise<{ pid: number; said: () => string; end: (signal: NodeJS.Signals) => Promise<number | null> }> {
  const child = spawn(process.execPath, [MAIN, 'up', '--data-dir', dataDir, ...ports, ...parameters], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        said += data.toString();
        if (said.includes(line)) resolve();
      });
    }
    void exited.then((status) => reject(new Error(`it ended with ${status}:\n${said}`)));
  });
  return { pid: child.pid ?? 0, said: () => said, end: (signal) => (child.kill(signal), exited) };
}

/** Processes of this installation that are still there. */
const leftOver = (): string => spawnSync('pgrep', ['-af', dataDir], { encoding: 'utf8' }).stdout;

describe('fleetroot up', () => {
  it('runs the demonstration line, every check of it, and ends well', { timeout: 170_000 }, () => {
    const { status, output } = fleetroot('up', '--exit', '--ecus', '120', '--issuers', '1', '--data-dir', dataDir, ...ports);
    expect(output).toContain('3 vehicles, 120 ECUs');
    expect(output).toMatch(/Provisioned +120 ECUs in/);
    expect(output).toContain('20 of 20 sampled certificates OK');
    expect(output).toMatch(/Revoked +50 certificates .*OCSP said good, then revoked/);
    expect(output).toMatch(/CRL +held them .*refuses the one, accepts the other/);
    expect(output).toMatch(/First connection .*registered by mutual TLS, .* known the second time/);
    expect(status).toBe(0);
    expect(leftOver()).toBe('');
  });

  it('keeps secrets for itself, and out of logs', () => {
    const secrets = join(dataDir, 'secrets');
    expect(statSync(secrets).mode & 0o777).toBe(0o700);
    const logs = readdirSync(join(dataDir, 'logs')).map((name) => readFileSync(join(dataDir, 'logs', name), 'utf8')).join('');
    expect(logs.length).toBeGreaterThan(0);
    for (const name of readdirSync(secrets)) {
      expect([name, statSync(join(secrets, name)).mode & 0o777]).toEqual([name, 0o600]);
      expect([name, logs.includes(readFileSync(join(secrets, name), 'utf8').trim())]).toEqual([name, false]);
    }
  });

  it('goes on with the same CA, tells its commands, refuses a second one, and stops on Ctrl-C', { timeout: 170_000 }, async () => {
    const before = fleetroot('ca', 'list', '--json', '--data-dir', dataDir);
    const running = await upUntil('Ctrl-C stops it', '--no-demo', '--issuers', '1');
    try {
      expect(fleetroot('ca', 'list', '--json', '--data-dir', dataDir).output).toBe(before.output);
      const commands = running.said().split('Try, in another terminal:\n')[1]?.split('\n\n')[0]?.trim().split('\n') ?? [];
      expect(commands).toHaveLength(3);
      const [search, truststore, crl] = commands.map((command) => execFileSync('sh', ['-c', command], { encoding: 'utf8' }));
      expect((JSON.parse(search ?? '') as { items: unknown[] }).items).toHaveLength(2);
      expect(truststore).toContain('-----BEGIN CERTIFICATE-----');
      expect(crl).toContain('Revoked Certificates:');
      const roles = execFileSync('ps', ['--ppid', String(running.pid), '-o', 'ni=,args='], { encoding: 'utf8' });
      expect(Object.fromEntries([...roles.matchAll(/(-?\d+) .*apps\/(\w+)\/dist\/main\.js/g)].map(([, niceness, role]) => [role, Number(niceness)])))
        .toEqual({ api: getPriority(), status: getPriority(), worker: getPriority(), issuer: Math.max(5, getPriority()) });

      const second = fleetroot('up', '--data-dir', dataDir, ...ports);
      expect(second).toEqual({ status: 1, output: `fleetroot: Fleetroot is running on this data folder already (process ${running.pid}); stop it, or choose another with --data-dir\n` });
      expect(fleetroot('audit', 'verify', '--data-dir', dataDir)).toMatchObject({ status: 0, output: expect.stringContaining('The audit chain holds') as string });
    } finally {
      expect(await running.end('SIGINT')).toBe(0);
    }
    expect(leftOver()).toBe('');
  });

  it('names the event where the audit chain is broken', { timeout: 170_000 }, async () => {
    const running = await upUntil('Ctrl-C stops it', '--no-demo', '--issuers', '1');
    try {
      const client = new Client({ connectionString: readFileSync(join(dataDir, 'secrets/database-url'), 'utf8').trim() });
      await client.connect();
      try {
        await client.query('ALTER TABLE audit_event DISABLE TRIGGER USER');
        await client.query("UPDATE audit_event SET payload = replace(payload, 'ca.imported', 'ca.exported') WHERE seq = 2");
      } finally {
        await client.end();
      }
      const { status, output } = fleetroot('audit', 'verify', '--json', '--data-dir', dataDir);
      expect([status, JSON.parse(output)]).toEqual([3, { events: 1, head: expect.anything() as object, breach: { seq: '2', what: 'hash' } }]);
    } finally {
      await running.end('SIGTERM');
    }
  });

  it('says in one line which port is taken', async () => {
    const server = createServer();
    const taken = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    try {
      const child = spawn(process.execPath, [MAIN, 'up', '--data-dir', join(folder, 'other'), ...ports, '--api-port', String(taken)]);
      let errors = '';
      child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
      expect(await new Promise((resolve) => child.once('close', resolve))).toBe(1);
      expect(errors).toBe(`fleetroot: port ${taken} is taken, choose another with --api-port\n`);
    } finally {
      server.close();
    }
  });

  it('says in one line that the disk is full', { timeout: 60_000 }, (context) => {
    const disk = join(folder, 'small');
    mkdirSync(disk);
    const { status: mounted } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
    context.skip(mounted !== 0, 'a small disk cannot be mounted here');
    try {
      const { status, output } = fleetroot('up', '--exit', '--data-dir', join(disk, 'data'), ...ports);
      expect(output).toMatch(/\nfleetroot: the disk of .* is full: \d+ MiB are free and 256 are needed; make room, or choose another place with --data-dir\n$/);
      expect(status).toBe(1);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});
