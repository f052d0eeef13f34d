import { createServer } from 'node:net';
import { PkiError } from '@fleetroot/core';

export interface WantedPort {
  readonly host: string;
  readonly port: number;
  /** The option that chooses another. */
  readonly option: string;
}

/**
 * Looks whether every port is free, by binding it for a moment, so that a port in use is said before anything starts.
 * @throws PkiError `setup.failed` that names each port that is not free, and the option to change it
 */
export async function checkPorts(wanted: readonly WantedPort[]): Promise<void> {
  const faults: string[] = [];
  for (const [index, { host, port, option }] of wanted.entries()) {
    const code = wanted.slice(0, index).some((other) => other.port === port) ? 'TWICE' : await probe(host, port);
    if (code === undefined) continue;
    const what = code === 'EADDRINUSE' ? `port ${port} is taken`
      : code === 'EACCES' ? `port ${port} needs root`
      : code === 'TWICE' ? `port ${port} is wanted twice`
      : `nothing can listen on ${host}:${port} (${code})`;
    faults.push(`${what}, choose another with ${option}`);
  }
  if (faults.length > 0) throw new PkiError('setup.failed', faults.join('; '));
}

function probe(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
