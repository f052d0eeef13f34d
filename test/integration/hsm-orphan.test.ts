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

test('nor does one whose parent is killed before it has read what was said', async () => {
  const entry = fileURLToPath(new URL('../../libs/hsm/src/process/main.ts', import.meta.url));
  // A parent that is too busy to read: the octets that wait for it make the socket's end a reset.
  const busy = `
    require('node:child_process').spawn(process.execPath, ['--conditions=fleetroot-source', ${JSON.stringify(entry)}], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;
  const parent = spawn(process.execPath, ['-e', busy], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [parent.stdout, parent.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  parent.kill('SIGKILL');
  // The child holds our end of its output: closed means ended.
  await new Promise((resolve) => parent.once('close', resolve));
  expect(said).toBe('');
});
