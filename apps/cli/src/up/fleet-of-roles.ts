import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../checkout.ts';
import type { DataDir } from '../data-dir/layout.ts';
import { collectorFlags, ROLES_BESIDE_ISSUERS } from './collector-flags.ts';
import { environmentFor, type RoleName, type SettingValues } from './environment.ts';
import { RoleProcess } from './role-process.ts';

/** In this order they are stopped: who takes requests first, and who answers for the status of certificates last. */
const stopOrder: readonly RoleName[] = ['api', 'worker', 'issuer', 'status'];
const STOP_WITHIN_MS = 12_000;
/** What each role gets at least, however long those before it took. */
const STOP_AT_LEAST_MS = 1_000;

/** Every role's processes. */
export class FleetOfRoles {
  readonly #processes: readonly RoleProcess[];

  constructor(dir: DataDir, settings: SettingValues, issuers: number, onNotice: (line: string) => void) {
    const process = (role: RoleName, name: string): RoleProcess => {
      const token = role === 'issuer' ? 'ca' : role === 'status' ? 'ocsp' : undefined;
      return new RoleProcess({
        role, name,
        entry: join(checkout, 'apps', role, 'dist/main.js'),
        environment: environmentFor(role, settings, token === undefined ? undefined : dir.softhsmConf(token)),
        log: join(dir.logs, `${name}.log`),
        nodeFlags: collectorFlags(role, issuers + ROLES_BESIDE_ISSUERS, availableParallelism()),
      }, { onNotice, onRefused: () => this.#refused(role) });
    };
    this.#processes = [
      ...Array.from({ length: issuers }, (_, i) => process('issuer', `issuer-${i + 1}`)),
      process('status', 'status'), process('worker', 'worker'), process('api', 'api'),
    ];
  }

  /**
   * Resolves when every one has said that it is ready; rejects with the first that cannot start. Of those that share a
   * token one goes ahead: a wrong PIN is tried once, and not once by each.
   */
  async start(): Promise<void> {
    const [first, ...others] = this.#of('issuer');
    const issuers = first?.start().then(() => Promise.all(others.map((process) => process.start())));
    await Promise.all([issuers, ...this.#processes.filter(({ spec }) => spec.role !== 'issuer').map((process) => process.start())]);
  }

  /** Stops role after role; those that take too long are killed. */
  async stop(): Promise<void> {
    const until = performance.now() + STOP_WITHIN_MS;
    for (const role of stopOrder) {
      const left = Math.max(until - performance.now(), STOP_AT_LEAST_MS);
      await Promise.all(this.#of(role).map((process) => process.stop(left)));
    }
  }

  kill(): void {
    for (const process of this.#processes) process.kill();
  }

  #of(role: RoleName): readonly RoleProcess[] {
    return this.#processes.filter(({ spec }) => spec.role === role);
  }

  /** The others have the same PIN: those that run are logged in and go on. */
  #refused(role: RoleName): void {
    for (const process of this.#of(role)) process.startNoMore();
  }
}
