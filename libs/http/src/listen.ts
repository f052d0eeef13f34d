import type { AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Address } from '@fleetroot/config';
import { PkiError } from '@fleetroot/core';

const faults: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process',
  EACCES: 'may not be used by this user',
  EADDRNOTAVAIL: 'is not an address of this machine',
  ENOTFOUND: 'is not an address of this machine',
};

/**
 * Listens; returns the port, which the system chose where the address has port 0.
 * @param variable the setting that an operator changes where the address cannot be had
 * @throws PkiError `setup.failed`
 */
export async function listen(app: NestFastifyApplication, { host, port }: Address, variable: string): Promise<number> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    const why = faults[(cause as NodeJS.ErrnoException).code ?? ''];
    if (why === undefined) throw cause;
    throw new PkiError('setup.failed', `${host}:${port} ${why}: set ${variable}`, { cause });
  }
  return (app.getHttpServer().address() as AddressInfo).port;
}
