import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { asProxy } from '../../../test/support/authorize-client.ts';
import { ProxyFront } from '../src/authorize/proxy-front.ts';

let server: Server;
afterEach(() => new Promise((resolve) => { server.close(resolve); }));

const failure = new Error('unforeseen');
test.each<[string, ConstructorParameters<typeof ProxyFront>[0]['ofHeaders']]>([
  ['at once', () => { throw failure; }],
  ['later', () => Promise.reject(failure)],
  ['by an answer that no header field can tell', () => ({ allowed: true, reason: 'allowed', detail: '', ecuSerial: 'a\r\nb' })],
])('what fails %s lets nobody in, and is told', async (_, ofHeaders) => {
  const told: unknown[] = [];
  const front = new ProxyFront({ ofHeaders }, (error) => told.push(error));
  server = createServer((request, response) => void front.handle(request, response));
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  for (const path of ['/v1/authorize/nginx', '/v1/authorize/envoy/x']) {
    const { status, headers } = await asProxy(port, { path });
    expect({ status, reason: headers['x-fleetroot-reason'], length: headers['content-length'] }).toEqual({ status: 403, reason: 'status.unavailable', length: '0' });
  }
  expect(told).toHaveLength(2);
});
