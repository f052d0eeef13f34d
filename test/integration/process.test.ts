import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, test } from 'vitest';

const fixture = fileURLToPath(new URL('../support/process-fixture.ts', import.meta.url));
const children: ChildProcess[] = [];

interface Run {
  readonly child: ChildProcess;
  readonly messages: unknown[];
  out(): string;
  err(): string;
  said(word: string): Promise<void>;
  ended(): Promise<number | NodeJS.Signals | null>;
}

function run(behaviour: string): Run {
  const child = spawn(process.execPath, ['--conditions=fleetroot-source', fixture, behaviour], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  children.push(child);
  let [out, err] = ['', ''];
  const messages: unknown[] = [];
  child.stdout?.on('data', (chunk) => { out += chunk; });
  child.stderr?.on('data', (chunk) => { err += chunk; });
  child.on('message', (message) => void messages.push(message));
  // Not `close`: it never comes after `disconnect`. What was said is read to its end all the same.
  const read = Promise.all([child.stdout, child.stderr].map((stream) => stream && once(stream, 'close')));
  const exited = once(child, 'exit').then(async ([code, signal]) => {
    await read;
    return (code ?? signal) as number | NodeJS.Signals | null;
  });
  return {
    child, messages, out: () => out, err: () => err, ended: () => exited,
    said: async (word) => { await expect.poll(() => out, { timeout: 10_000, interval: 10 }).toContain(word); },
  };
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

describe('a role that starts', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('tells its parent, closes on %s, and ends with 0', async (signal) => {
    const role = run('well');
    await role.said('started');
    await expect.poll(() => role.messages).toEqual([{ ready: true }]);
    role.child.kill(signal);
    expect(await role.ended()).toBe(0);
    expect(role.out()).toContain('closed');
    expect(role.err()).toBe('');
  });
  it('closes when its parent is gone', async () => {
    const role = run('well');
    await role.said('started');
    role.child.disconnect();
    expect(await role.ended()).toBe(0);
    expect(role.out()).toContain('closed');
  });
  it('closes when its parent has gone just as it tells it that it is ready', async () => {
    const role = run('deaf-start');
    await role.said('starting');
    role.child.disconnect();
    expect(await role.ended()).toBe(0);
    expect(role.err()).toBe('');
    expect(role.out()).toContain('closed');
  });
  it('closes in peace when Ctrl-C and the parent\'s SIGTERM both reach it', async () => {
    const role = run('slow-close');
    await role.said('started');
    role.child.kill('SIGINT');
    await role.said('closing');
    role.child.kill('SIGTERM');
    expect(await role.ended()).toBe(0);
    expect(role.out()).toContain('closed');
  });
  it('ends at once when the same signal comes again', async () => {
    const role = run('slow-close');
    await role.said('started');
    role.child.kill('SIGTERM');
    await role.said('closing');
    role.child.kill('SIGTERM');
    expect(await role.ended()).toBe(1);
    expect(role.out()).not.toContain('closed');
  });
  it('does not wait for ever for what does not close', async () => {
    const role = run('stuck');
    await role.said('started');
    role.child.kill('SIGTERM');
    expect(await role.ended()).toBe(1);
    expect(role.err()).toBe('fleetroot fixture: internal: closing took too long\n');
  });
  it('closes when the signal comes while it starts, and never says that it is ready', async () => {
    const role = run('slow-start');
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    role.child.kill('SIGTERM');
    expect(await role.ended()).toBe(0);
    expect(role.messages).toEqual([]);
  });
});

it.each(['fail-pin-stuck', 'fail-pin-broken'])('%s: the status of a refused PIN stands, however the closing ends', async (behaviour) => {
  const role = run(behaviour);
  expect(await role.ended()).toBe(77);
  expect(role.err()).toContain('fleetroot fixture: hsm.pin-incorrect: the PIN is wrong\n');
});

test.each<[string, string, number?]>([
  ['refuse', 'fleetroot fixture: config.invalid: A is not set; B is not set\n'],
  ['break', 'fleetroot fixture: internal: something else\n'],
  ['reject', 'fleetroot fixture: internal: nobody caught this\n'],
  ['throw', 'fleetroot fixture: internal: nobody caught this\n'],
  ['fail', 'fleetroot fixture: hsm.unavailable: the HSM is away\n'],
  // Not 1: whoever starts it again would try the PIN once more.
  ['fail-pin', 'fleetroot fixture: hsm.pin-incorrect: the PIN is wrong\n', 77],
  ['refuse-pin', 'fleetroot fixture: hsm.pin-incorrect: the PIN is wrong\n', 77],
  ['reject-pin', 'fleetroot fixture: hsm.pin-incorrect: the PIN is wrong\n', 77],
])('%s: one plain line and its status', async (behaviour, line, status = 1) => {
  const role = run(behaviour);
  expect(await role.ended()).toBe(status);
  expect(role.err()).toBe(line);
  expect(role.out().includes('closed')).toBe(behaviour.startsWith('fail'));
});
