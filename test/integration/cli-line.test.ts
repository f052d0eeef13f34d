// The line's commands against a small server that keeps the rules of /v1/uploads, and that can be made to fail at will. The
// product itself is met in test/e2e/line.test.ts.
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openFolder } from '../support/folder.ts';
import { events, killed, killedAfter, line, resultsIn, startLine } from '../support/line-cli.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { UploadServer, type UploadServerOptions } from '../support/upload-server.ts';

let folder: string;
let file: string;
const closing: { close(): void }[] = [];
beforeEach(() => {
  folder = openFolder('fleetroot-line-');
  file = join(folder, 'shift.ndjson');
});
afterEach(() => {
  for (const each of closing.splice(0)) each.close();
  rmSync(folder, { recursive: true, force: true });
});

const items = (number: number): string[] => Array.from({ length: number }, (_, i) => JSON.stringify({ ecuSerial: `ECU-${i}`, partNumber: 'FR-1', csr: 'MIIB' }));

function write(lines: readonly string[]): void {
  writeFileSync(file, lines.map((text) => `${text}\n`).join(''));
}

async function serve(options: UploadServerOptions = {}): Promise<{ server: UploadServer; url: string; flags: string[] }> {
  const server = new UploadServer(options);
  closing.push(server);
  const url = await server.listen();
  const token = join(folder, 'token');
  writeFileSync(token, 'token-of-the-line\n');
  return { server, url, flags: ['--api', url, '--token-file', token] };
}

const submit = (flags: readonly string[], ...more: string[]): string[] => ['submit', file, '--profile', 'ecu-client', ...flags, ...more];
const output = (): string => `${file}.certificates.ndjson`;

/** Each item of the file is there once, in order, and was sent once. */
function expectWhole(server: UploadServer, lines: readonly string[]): void {
  expect(server.only().lines).toEqual(lines);
  expect(server.taken).toBe(lines.length);
  expect(resultsIn(output()).map(({ ordinal, ecuSerial }) => `${ordinal} ${ecuSerial}`)).toEqual(lines.map((_, i) => `${i} ECU-${i}`));
}

it('sends a file in parts, takes its results, and finds all of it done when typed again', async () => {
  const { server, flags } = await serve();
  // CR LF and empty lines are no part of an item.
  const lines = items(12_345);
  writeFileSync(file, `${lines.slice(0, 3).join('\r\n')}\r\n\n${lines.slice(3).join('\n')}`);
  const first = await line(submit(flags, '--follow'));
  expect([first.status, first.stderr]).toEqual([0, '']);
  expect(first.stdout).toContain('12,345 of 12,345 issued, 0 failed');
  expectWhole(server, lines);

  const before = statSync(output()).mtimeMs;
  const again = await line(submit(flags, '--follow', '--json'));
  expect(again.status).toBe(0);
  expect(events(again.stdout).at(-1)).toMatchObject({ event: 'done', items: 12_345, issued: 12_345, failed: 0, failures: {} });
  expect(statSync(output()).mtimeMs).toBe(before);
  expectWhole(server, lines);
  expect(readdirSync(folder).sort()).toEqual(['shift.ndjson', 'shift.ndjson.certificates.ndjson', 'shift.ndjson.fleetroot-batch.json', 'token']);
  expect(readFileSync(`${file}.fleetroot-batch.json`, 'utf8')).not.toContain('token-of');
});

it('kill -9 at any moment, and the same command: nothing sent twice, no result missing or doubled', { timeout: 120_000 }, async () => {
  const { server, flags } = await serve({ chunkMs: 12, resultsAtOnce: 20, resultMs: 40 });
  const lines = items(8_000);
  write(lines);
  const written = (): number => (existsSync(output()) ? statSync(output()).size : 0);
  let kills = 0;
  for (let last: number | null = null; last !== 0;) {
    const running = startLine(submit(flags, '--follow'));
    if (kills === 6) server.resultMs = 0;
    if (kills >= 3 && kills < 6) {
      // These are killed while they take results.
      const before = written();
      while (written() <= before && running.child.exitCode === null) await sleep(5);
    }
    const { status, stderr } = await (kills < 3 ? killedAfter(running, 50 + Math.random() * 300) : kills < 6 ? killed(running, Math.random() * 200) : running.ended);
    if (status === null) {
      kills += 1;
      // As a power cut would leave it, too.
      if (written() > 30) truncateSync(output(), written() - 1 - Math.floor(Math.random() * 25));
    } else {
      expect([status, stderr]).toEqual([0, '']);
    }
    last = status;
  }
  expect(kills).toBe(6);
  expectWhole(server, lines);
});

it('goes on where the connection was cut, while sending and while taking results', { timeout: 120_000 }, async () => {
  const { server, url, flags } = await serve({ chunkMs: 12, resultsAtOnce: 20, resultMs: 4 });
  const proxy = new TcpProxy(url);
  closing.push(proxy);
  const through = await proxy.listen();
  const lines = items(6_000);
  write(lines);
  const running = startLine(submit([...flags.slice(2), '--api', through], '--follow', '--json'));
  let cuts = 0;
  const timer = setInterval(() => {
    if (proxy.connections === 0) return;
    cuts += 1;
    if (cuts === 3) {
      proxy.pass(false);
      setTimeout(() => proxy.pass(true), 1_000);
    } else if (cuts < 8) proxy.cut();
  }, 450);
  const { status, stdout, stderr } = await running.ended;
  clearInterval(timer);
  expect([status, stderr]).toEqual([0, '']);
  expect(cuts).toBeGreaterThan(3);
  expect(events(stdout).filter(({ event }) => event === 'trouble').length).toBeGreaterThan(2);
  expectWhole(server, lines);
});

it('Ctrl-C: says how to go on, status 3; the next run goes on', async () => {
  const { server, flags } = await serve({ resultsAtOnce: 10, resultMs: 60_000 });
  const lines = items(500);
  write(lines);
  const running = startLine(submit(flags, '--follow'));
  while (!existsSync(output()) || statSync(output()).size === 0) await sleep(20);
  running.child.kill('SIGINT');
  const { status, stderr } = await running.ended;
  expect([status, stderr]).toEqual([3, 'fleetroot: stopped; the same command goes on\n']);
  expect(resultsIn(output())).toHaveLength(10);
  server.resultMs = 0;
  expect((await line(submit(flags, '--follow'))).status).toBe(0);
  expectWhole(server, lines);
});

it('waits as long as a 503 asks for, and gives up after the patience that it was given', async () => {
  const { server, flags } = await serve();
  write(items(10));
  server.refusals.push({ status: 503, code: 'store.unavailable', retryAfter: '1' }, { status: 502, code: 'nobody.knows' });
  const began = performance.now();
  const waited = await line(submit(flags, '--json'));
  expect(waited.status).toBe(0);
  expect(performance.now() - began).toBeGreaterThan(1_000);
  expect(events(waited.stdout).filter(({ event }) => event === 'trouble')).toMatchObject([{ message: 'POST /v1/uploads: 503 store.unavailable store.unavailable' }, { message: 'POST /v1/uploads: 502 nobody.knows nobody.knows' }]);

  server.close();
  const gaveUp = await line(submit(flags, '--patience', '1'));
  expect(gaveUp.status).toBe(3);
  expect(gaveUp.stderr).toMatch(/^fleetroot: no connection to the API \(ECONNREFUSED\); nothing moved for 1 s: give the same command again to go on\n$/);
});

it('refuses a file that was changed, and another command for the same file', async () => {
  const { flags } = await serve();
  write(items(10));
  expect((await line(submit(flags))).status).toBe(0);
  const other = await line(submit(flags, '--ca', 'other'));
  expect([other.status, other.stderr]).toEqual([2, expect.stringMatching(/was sent with ca \(none\) before, and not other: give the same command/)]);
  appendFileSync(file, '{"csr":"more"}\n');
  const changed = await line(submit(flags));
  expect([changed.status, changed.stderr]).toEqual([2, expect.stringMatching(/^fleetroot: \S+shift.ndjson was changed since batch [0-9a-f-]{36} was begun from it: put back what it held \(10 items\)/)]);
});

it.each([
  { what: 'no JSON', text: '{"csr":"x"}\n\nnothing\n', says: 'line 3 of FILE is not JSON' },
  { what: 'a field too many', text: '{"csr":"x","pin":"1"}\n', says: 'line 1 of FILE has a field that is none of ecuSerial, vin, partNumber, lot, csr' },
  { what: 'no request', text: '{"csr":"x"}\n{"vin":"x"}\n', says: 'line 2 of FILE has no csr' },
  { what: 'nothing at all', text: '\n', says: 'FILE has no item' },
])('tells what is wrong with a file before anything is sent: $what', async ({ text, says }) => {
  const { server, flags } = await serve();
  writeFileSync(file, text);
  const { status, stderr } = await line(submit(flags));
  expect([status, stderr.replaceAll(file, 'FILE')]).toEqual([2, `fleetroot: ${says}\n`]);
  expect(server.requests).toBe(0);
});

it('does not write into what is not its own', async () => {
  const { flags } = await serve();
  write(items(3));
  writeFileSync(output(), 'somebody else wrote this\n');
  const { status, stderr } = await line(submit(flags, '--follow'));
  expect([status, stderr]).toEqual([2, expect.stringContaining('is not empty: choose another with --output')]);
  expect(readFileSync(output(), 'utf8')).toBe('somebody else wrote this\n');
});

it('tells a refusal with its code and what to do, with a status of its own', async () => {
  const { flags } = await serve();
  write(items(3));
  writeFileSync(flags[3]!, 'another-token');
  const { status, stdout, stderr } = await line(submit(flags, '--json'));
  expect([status, stderr]).toEqual([4, expect.stringContaining('401 auth.token-invalid') as string]);
  expect(events(stdout)).toMatchObject([{ event: 'error', exitStatus: 4, code: 'auth.token-invalid' }]);
  expect(stdout + stderr).not.toContain('another-token');
});

it('one command at a time works on a file', async () => {
  const { flags } = await serve({ resultsAtOnce: 1, resultMs: 60_000 });
  write(items(200));
  const running = startLine(submit(flags, '--follow'));
  while (!running.said().includes('Accepted')) await sleep(20);
  const second = await line(submit(flags, '--follow'));
  expect([second.status, second.stderr]).toEqual([3, `fleetroot: process ${running.child.pid} is working on ${file} already\n`]);
  running.child.kill('SIGKILL');
  await running.ended;
});

it('keeps standard input, and finds its batch again', async () => {
  const { server, flags } = await serve();
  const input = `${items(20).join('\n')}\n`;
  const parameters = ['submit', '-', '--profile', 'ecu-client', ...flags];
  const { status, stdout } = await line(parameters, { cwd: folder, input });
  expect(status).toBe(0);
  const kept = /kept in (\S+):/.exec(stdout)?.[1] ?? '';
  expect([readFileSync(kept, 'utf8') === input, statSync(kept).mode & 0o777]).toEqual([true, 0o600]);
  expect((await line(parameters, { cwd: folder, input })).stdout).toContain('It was accepted before');
  expect(server.only().lines).toHaveLength(20);
});

it('tells failures by code and line, and sends them again alone', async () => {
  const { server, flags } = await serve({ fault: (text, resend) => (resend ? undefined : /ECU-(3|7)"/.test(text) ? 'key.other-ecu' : text.includes('ECU-5"') ? 'hsm.unavailable' : undefined) });
  const lines = items(10);
  writeFileSync(file, `\n${lines.join('\n')}\n`);
  const { status, stdout } = await line(submit(flags, '--follow'));
  expect(status).toBe(1);
  const batch = server.only().id;
  expect(stdout.split('\n').slice(-5)).toEqual([
    expect.stringMatching(/^7 of 10 issued, 3 failed; 10 results in \d+ s, in \S+$/),
    `  key.other-ecu                            2   line 5, 9 of ${file}`,
    `  hsm.unavailable                          1   line 7 of ${file}`,
    `Send them again, once the cause is gone: fleetroot line resend ${file} --of ${batch}`, '',
  ]);
  const failed = await line(['results', batch, '--failed', '--json', ...flags]);
  expect([failed.status, events(failed.stdout).map(({ ordinal, code }) => `${ordinal} ${code}`)]).toEqual([1, ['3 key.other-ecu', '5 hsm.unavailable', '7 key.other-ecu']]);

  const other = join(folder, 'other.ndjson');
  writeFileSync(other, `${lines.toReversed().join('\n')}\n`);
  const refusal = await line(['resend', other, '--of', batch, ...flags]);
  expect([refusal.status, refusal.stderr]).toEqual([2, `fleetroot: ${other} is not the file of batch ${batch}: its lines would be taken for others\n`]);

  const resent = await line(['resend', file, '--of', batch, '--follow', '--json', ...flags]);
  expect(resent.status).toBe(0);
  expect(events(resent.stdout).at(-1)).toMatchObject({ event: 'done', items: 3, issued: 3, failed: 0 });
  const [, again] = [...server.batches.values()];
  expect([again?.lines, JSON.parse(again?.opened ?? '')]).toEqual([[lines[3], lines[5], lines[7]], { profile: 'ecu-client', resendOf: batch }]);
  // Typed again it is the same batch.
  expect((await line(['resend', file, '--of', batch, '--follow', ...flags])).status).toBe(0);
  expect(server.batches.size).toBe(2);
});

it('shows a batch and cancels it', async () => {
  const { server, flags } = await serve();
  write(items(5));
  await line(submit(flags));
  const batch = server.only().id;
  const shown = await line(['status', batch, ...flags]);
  expect([shown.status, shown.stdout]).toEqual([0, expect.stringContaining('accepted: 5 items, 0 issued, 0 failed, 5 pending') as string]);
  const cancelled = await line(['cancel', batch, '--json', ...flags]);
  expect([cancelled.status, JSON.parse(cancelled.stdout)]).toEqual([0, expect.objectContaining({ id: batch, failures: { 'batch.cancelled': 5 } })]);
  expect((await line(submit(flags, '--follow'))).status).toBe(1);
  const missing = await line(['status', '00000000-0000-4000-8000-000000000000', ...flags]);
  expect([missing.status, missing.stderr]).toEqual([4, expect.stringContaining('404 batch.not-found') as string]);
});

it('takes API and token from the environment', async () => {
  const { url, flags } = await serve();
  write(items(2));
  const environment = { FLEETROOT_API_URL: url, FLEETROOT_API_TOKEN_FILE: flags[3]! };
  expect((await line(submit([]), { environment })).status).toBe(0);
});
