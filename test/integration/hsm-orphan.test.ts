import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('the HSM process whose parent is gone before it says its first word ends without one', async () => {
  const entry = fileURLToPath(new URL('../../libs/hsm/src/process/main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=fleetroot-source', entry], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (said += data.toString()));
  child.stdio[3]?.destroy();
  const status = await new Promise((resolve) => child.once('close', resolve));
  expect([status, said]).toEqual([0, '']);
});
