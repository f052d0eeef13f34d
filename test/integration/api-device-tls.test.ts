import { X509Certificate } from 'node:crypto';
import { Agent, get } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { PkiError } from '@fleetroot/core';
import { createHttpApp } from '@fleetroot/http';
import { createLogger } from '@fleetroot/telemetry';
import { encodePem, extension } from '@fleetroot/x509';
import { type ApiParts, deviceModule } from '../../apps/api/src/api-module.ts';
import { DeviceListener, deviceTls } from '../../apps/api/src/device/device-listener.ts';
import type { TlsIdentity } from '../../apps/api/src/device/tls-identity.ts';
import { certify, named } from '../support/software-ca.ts';

const logger = createLogger({ role: 'test', level: 'silent' });
const root = certify({ subject: named('root') });

function identity(name: string): TlsIdentity {
  const server = certify({
    subject: named(name), issuer: root, extensions: [extension.extendedKeyUsage(['serverAuth']), extension.subjectAltName([{ kind: 'dns', value: 'localhost' }], false)],
  });
  return { key: server.keyPem, cert: encodePem('CERTIFICATE', server.certificate) };
}

/** The subject of the server's certificate, over the agent's connection. */
const server = (port: number, agent: Agent): Promise<string> => new Promise((resolve, reject) => {
  get({ host: 'localhost', port, path: '/', agent, ca: encodePem('CERTIFICATE', root.certificate) }, (response) => {
    const certificate = (response.socket as TLSSocket).getPeerX509Certificate() as X509Certificate;
    response.resume().on('end', () => resolve(certificate.subject));
  }).on('error', reject);
});

it('the device listener comes up with its first certificate, and takes the next without a pause', async () => {
  let next: () => TlsIdentity = () => { throw new PkiError('issuance.timeout', 'no issuer yet'); };
  const app = await createHttpApp(deviceModule({} as ApiParts), { logger, bodyLimit: 1000, requestTimeoutMs: 1000, https: deviceTls });
  const listener = new DeviceListener(app, { current: async () => next() }, { host: '127.0.0.1', port: 0 }, logger, { checkMs: 50, retryMs: 20 });
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const fresh = new Agent();
  try {
    listener.start();
    expect(() => listener.check()).toThrow(/not up/);
    await expect.poll(() => { try { return String(listener.check()); } catch (error) { return (error as Error).message; } }).toMatch(/no issuer yet/);
    const first = identity('first');
    next = () => first;
    await expect.poll(() => listener.port).toBeGreaterThan(0);
    listener.check();
    const port = listener.port ?? 0;
    expect(await server(port, kept)).toBe('CN=first');
    const second = identity('second');
    next = () => second;
    await expect.poll(() => server(port, fresh)).toBe('CN=second');
    expect(await server(port, kept), 'a connection that is open goes on').toBe('CN=first');
    next = () => { throw new Error('the issuer is away'); };
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(await server(port, fresh), 'the last one stays').toBe('CN=second');
    listener.check();
  } finally {
    kept.destroy();
    fresh.destroy();
    await listener.close();
  }
});
