import { type AddressInfo, connect } from 'node:net';
import { createHttpApp } from '@fleetroot/http';
import { createLogger } from '@fleetroot/telemetry';
import { expect, it } from 'vitest';

// Who is ahead of the framework has no limit of the framework's: the listener's own must hold.
it('a body that does not arrive in time is given up, whoever reads it', async () => {
  let begun = 0;
  const app = await createHttpApp({ module: class {} }, {
    logger: createLogger({ role: 'test', level: 'silent' }), bodyLimit: 1024, requestTimeoutMs: 200, streamTimeoutMs: 200,
    ahead: (request) => {
      begun++;
      request.on('data', () => undefined).on('error', () => undefined);
      return true;
    },
  });
  try {
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    const said = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => socket.write('POST /ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf'));
      socket.on('data', (piece) => (text += piece.toString('latin1'))).on('close', () => resolve(text)).on('error', reject);
    });
    expect(begun).toBe(1);
    expect(said).toMatch(/^HTTP\/1\.1 408 /);
  } finally {
    await app.close();
  }
});
