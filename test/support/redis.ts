import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { Secret } from '@fleetroot/core';
import { freePort } from './ports.ts';

export interface TestRedis {
  readonly url: Secret;
  /** Gone, with all it held. */
  stop(): Promise<void>;
  /** Again, empty, on the same port. */
  start(): Promise<void>;
  /** Takes all it holds away while it runs. */
  empty(): Promise<void>;
  /** It answers nothing, and its connections stay, until `resume`. */
  pause(): void;
  resume(): void;
}

/** A Redis of its own on a free port of loopback, which keeps nothing on disk. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  let server: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'], { stdio: 'ignore' });
    await listening(port);
  };
  const stop = async (): Promise<void> => {
    if (server === undefined || server.exitCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGKILL');
    await exited;
    server = undefined;
  };
  const signal = (name: NodeJS.Signals) => (): void => void server?.kill(name);
  await start();
  return {
    url: new Secret(`redis://127.0.0.1:${port}`), start, stop, pause: signal('SIGSTOP'), resume: signal('SIGCONT'),
    empty: () => flush(port),
  };
}

async function flush(port: number): Promise<void> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    socket.write('FLUSHALL\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (!answer.toString().startsWith('+OK')) throw new Error(`FLUSHALL: ${answer.toString()}`);
  } finally {
    socket.destroy();
  }
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const up = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false);
    socket.destroy();
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on ${port}`);
}
