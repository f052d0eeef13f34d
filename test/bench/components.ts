import type { ProcessEntry } from './processes.ts';

/** Whose processes are looked at. */
export interface Installation {
  /** The process that measures: it is the client too. */
  readonly bench: number;
  /** `fleetroot up`. */
  readonly up: number;
  /** PostgreSQL's processes that serve BullMQ, and no ledger. */
  readonly queueBackends: ReadonlySet<number>;
}

/** In this order they are shown; issuers by number. */
export const CLIENT = 'client';
export const QUEUE = 'queue backend';
export const POSTGRES = 'PostgreSQL';

/**
 * pid -> the part of the installation that the process belongs to: `api`, `worker`, `status` (with its HSM process), `up`,
 * `issuer-1` (its main process), `HSM of issuer-1` (its children), PostgreSQL (postmaster, writers and the backends of the
 * ledger), the queue backend (Redis, or BullMQ's connections in PostgreSQL), the client. Others have none.
 */
export function componentsOf(processes: readonly ProcessEntry[], { bench, up, queueBackends }: Installation): Map<number, string> {
  const components = new Map<number, string>();
  const childrenOf = (pid: number): readonly ProcessEntry[] => processes.filter(({ parent }) => parent === pid);
  const whole = (pid: number, component: string): void => {
    components.set(pid, component);
    for (const child of childrenOf(pid)) whole(child.pid, queueBackends.has(child.pid) ? QUEUE : component);
  };
  components.set(bench, CLIENT);
  for (const child of childrenOf(bench)) {
    if (child.pid !== up) whole(child.pid, child.command.startsWith('redis-server') ? QUEUE : CLIENT);
  }
  components.set(up, 'up');
  let issuers = 0;
  for (const child of childrenOf(up).toSorted((a, b) => a.pid - b.pid)) {
    const role = /apps\/(\w+)\/dist\//.exec(child.command)?.[1];
    if (role === 'issuer') {
      const name = `issuer-${++issuers}`;
      components.set(child.pid, name);
      for (const hsm of childrenOf(child.pid)) whole(hsm.pid, `HSM of ${name}`);
    } else whole(child.pid, role ?? (/(?:^|\/)postgres /.test(child.command) ? POSTGRES : 'up'));
  }
  return components;
}
