import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { TestToken } from './softhsm.ts';

/** The PKCS#11 library that reaches an `HsmServer`; it reads the server's address when it is initialised. */
export const clientModule = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so';

/** An HSM in a process of its own (`p11-kit server` before SoftHSM), which can hang and die. */
export class HsmServer {
  readonly #token: TestToken;
  readonly #socket: string;
  #child: ChildProcess | undefined;

  constructor(token: TestToken) {
    this.#token = token;
    this.#socket = join(token.dir, 'hsm.sock');
  }

  /** Value of P11_KIT_SERVER_ADDRESS for those who want to reach it. */
  get address(): string {
    return `unix:path=${this.#socket}`;
  }

  async start(): Promise<void> {
    const child = spawn('p11-kit', ['server', '--foreground', '--name', this.#socket, '--provider', this.#token.module, 'pkcs11:'], {
      env: { ...process.env, SOFTHSM2_CONF: this.#token.softhsmConf },
      stdio: 'ignore',
      // A group of its own: the server serves each connection in a child, and all of them stop and die together.
      detached: true,
    });
    this.#child = child;
    for (let i = 0; i < 100 && !existsSync(this.#socket); i++) await pause(50);
    await pause(100);
  }

  hang(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    this.#signal('SIGKILL');
    this.#child = undefined;
    await exited;
    await rm(this.#socket, { force: true });
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the HSM server does not run');
    process.kill(-pid, signal);
  }
}
