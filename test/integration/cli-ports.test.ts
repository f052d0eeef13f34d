import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { checkPorts } from '../../apps/cli/src/up/ports.ts';

it('names the port that is taken, and the option that chooses another', async () => {
  const server = createServer();
  const taken = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  try {
    await expect(checkPorts([{ host: '127.0.0.1', port: taken, option: '--api-port' }]))
      .rejects.toThrow(`port ${taken} is taken, choose another with --api-port`);
  } finally {
    server.close();
  }
  await checkPorts([{ host: '127.0.0.1', port: taken, option: '--api-port' }]);
});

it('names what is wanted twice', async () => {
  const wanted = { host: '127.0.0.1', port: 0 };
  await expect(checkPorts([{ ...wanted, option: '--api-port' }, { ...wanted, option: '--status-port' }])).rejects.toThrow('wanted twice, choose another with --status-port');
});
