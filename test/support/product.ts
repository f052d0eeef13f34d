import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openFolder } from './folder.ts';
import { freePort } from './ports.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

type TokenName = 'admin' | 'line' | 'security' | 'gateway' | 'auditor';

/** The whole product, started as a user starts it, on free ports and in a folder of its own. */
export interface Product {
  readonly api: string;
  readonly status: string;
  readonly devicePort: number;
  readonly dataDir: string;
  readonly pid: number;
  token(name: TokenName): string;
  fetch(method: string, path: string, token?: TokenName, headers?: Record<string, string>, body?: string): Promise<Response>;
  // Test code reads what the API answers; its shape is checked by the assertions.
  // oxlint-disable-next-line typescript/no-explicit-any
  json(method: string, path: string, token: TokenName | undefined, body?: unknown): Promise<{ status: number; body: any }>;
  /** Waits until the published CRL of the issuing CA names the serial. */
  crlNames(serial: string): Promise<void>;
  /** All that was printed and logged so far. */
  output(): string;
  /** Ends it as Ctrl-C does; resolves with the exit status. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface ProductOptions {
  readonly dataDir?: string;
  readonly issuers?: number;
  readonly arguments?: readonly string[];
  /** Where the test leaves the orders of crash-arm.mjs; absent: no process can be ordered to crash. */
  readonly orders?: string;
  /** Keep the data folder at stop(). */
  readonly keep?: boolean;
}

export async function startProduct(options: ProductOptions = {}): Promise<Product> {
  const dataDir = options.dataDir ?? openFolder('fleetroot-');
  const [apiPort, devicePort, statusPort, internalPort] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const child = spawn(process.execPath, [
    join(ROOT, 'apps/cli/dist/main.js'), 'up', '--no-demo', '--data-dir', dataDir, '--issuers', String(options.issuers ?? 1),
    '--api-port', String(apiPort), '--device-port', String(devicePort), '--status-port', String(statusPort),
    '--status-internal-port', String(internalPort), ...(options.arguments ?? []),
  ], {
    cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.orders === undefined ? {} : {
      env: { ...process.env, NODE_OPTIONS: `--import=${pathToFileURL(join(ROOT, 'test/support/crash-arm.mjs')).href}`, FAULTS_FOLDER: options.orders },
    }),
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (printed += data.toString()));
  const api = `http://127.0.0.1:${apiPort}`;
  await ready(child, [api, `http://127.0.0.1:${statusPort}`], () => printed);

  const token = (name: TokenName): string => readFileSync(join(dataDir, 'secrets', `${name}.token`), 'utf8').trim();
  const request: Product['fetch'] = (method, path, name, headers = {}, body) =>
    fetch(`${api}${path}`, {
      method,
      headers: { ...(name === undefined ? {} : { authorization: `Bearer ${token(name)}` }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
  return {
    api, status: `http://127.0.0.1:${statusPort}`, devicePort, dataDir, pid: child.pid ?? 0, token, fetch: request,
    async json(method, path, name, body) {
      const response = await request(
        method, path, name, body === undefined ? {} : { 'content-type': 'application/json' },
        body === undefined ? undefined : JSON.stringify(body),
      );
      return { status: response.status, body: await response.json() };
    },
    async crlNames(serial) {
      const want = serial.replace(/^00/, '').toUpperCase();
      await until(async () => {
        const crl = await fetch(`http://127.0.0.1:${statusPort}/crl/ecu-issuing.crl`);
        if (!crl.ok) return false;
        const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text'], { input: Buffer.from(await crl.arrayBuffer()), encoding: 'utf8' });
        return text.includes(`Serial Number: ${want}`);
      }, 30_000, () => `the CRL never named ${serial}\n${printed}`);
    },
    output() {
      const logs = ['api', 'issuer-1', 'issuer', 'status', 'worker'].map((role) => join(dataDir, 'logs', `${role}.log`));
      return printed + logs.filter((log) => existsSync(log)).map((log) => readFileSync(log, 'utf8')).join('');
    },
    async stop(signal = 'SIGINT') {
      const code = await end(child, signal);
      if (options.keep !== true) rmSync(dataDir, { recursive: true, force: true });
      return code;
    },
  };
}

/** The api takes requests before the status app has its OCSP signer: both are waited for. */
async function ready(child: ChildProcess, urls: readonly string[], printed: () => string): Promise<void> {
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`fleetroot up ended with ${child.exitCode}:\n${printed()}`);
    const answers = await Promise.all(urls.map((url) => fetch(`${url}/readyz`).catch(() => undefined)));
    return answers.every((answer) => answer?.ok === true);
  }, 120_000, () => `fleetroot up did not get ready:\n${printed()}`);
}

export async function until(condition: () => Promise<boolean>, timeoutMs: number, what: () => string): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(what());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill(signal);
  });
}
