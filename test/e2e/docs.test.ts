import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { type Product, startProduct } from '../support/product.ts';

// What the documents tell a reader to type is typed here: the blocks after `<!-- run -->`, in order, in one shell.
let product: Product;
let folder: string;
let gatewayPort: number;

beforeAll(async () => {
  product = await startProduct({ arguments: ['--set', 'FLEETROOT_AUTHORIZE_PROXIES=escaped-pem=127.0.0.1 xfcc=127.0.0.3 client-cert=127.0.0.5'] });
  gatewayPort = await freePort();
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-docs-'));
}, 300_000);

afterAll(async () => {
  // A page that broke off has left its nginx.
  const pid = folder ? join(folder, 'nginx.pid') : '';
  if (existsSync(pid)) process.kill(Number(readFileSync(pid, 'utf8')));
  await product?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test.each(['getting-started.md', 'api.md', 'made-keys.md', 'lines.md', 'revocation.md', 'publishing.md', 'authorizer.md'])('the commands of docs/%s run', (page) => {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/<!-- run -->\n```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  expect(blocks.length).toBeGreaterThan(1);
  const run = spawnSync('bash', ['-euc', blocks.join('\n')], {
    cwd: folder, encoding: 'utf8', timeout: 120_000,
    env: { ...process.env, API: product.api, STATUS: product.status, GATEWAY_PORT: String(gatewayPort), DATA: product.dataDir, CHECKOUT: fileURLToPath(new URL('../..', import.meta.url)) },
  });
  expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
});
