import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import { type CaName, LedgerKey, Secret, systemClock } from '@fleetroot/core';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger } from '@fleetroot/telemetry';
import { encodePem, parseCrl } from '@fleetroot/x509';
import { DirectoryTarget } from '../../apps/worker/src/copies/directory.ts';
import { type S3Options, S3Target } from '../../apps/worker/src/copies/s3.ts';
import type { CopyTarget } from '../../apps/worker/src/copies/target.ts';
import type { Task } from '../../apps/worker/src/task.ts';
import { copiesTask } from '../../apps/worker/src/tasks/copies.ts';
import { event } from '../support/ledger.ts';
import { freePort } from '../support/ports.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { signCrl, someEntries, TestPublisher } from '../support/published-crls.ts';
import { S3Server } from '../support/s3-server.ts';
import { certify, named, notAfter, notBefore, type SoftwareCa } from '../support/software-ca.ts';

let postgres: TestPostgres;
let store: Store;
let publisher: TestPublisher;
let ca: SoftwareCa;
const folders: string[] = [];
const lines: string[] = [];
const beats: { target: string; failed?: number }[] = [];
const never = new AbortController().signal;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(randomBytes(32)), pool: 4 });
  ca = certify({ subject: named('Copied') });
  const { id } = await store.authorities.add(
    { name: 'copied' as CaName, parentId: undefined, state: 'active', certificate: ca.certificate, keyId: undefined, signatureAlgorithm: undefined, labels: {}, notBefore, notAfter }, event('ca.imported', 'ca:copied'));
  await store.truststores.publish('fleet', 'all', [id], encodePem('CERTIFICATE', ca.certificate), (version) => event('truststore.published', `truststore:fleet/${version}`));
  publisher = await TestPublisher.open(postgres.databaseUrl, ca, id);
  await publisher.publish({ entries: someEntries(50) });
  await publisher.publish({ kind: 'delta', entries: someEntries(3) });
  await publisher.publish({ scope: '64/17', entries: someEntries(5), url: 'http://status/crl/copied/64/17.crl' });
});

afterAll(async () => {
  await publisher?.close();
  await store?.close();
  await postgres?.stop();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function folderOf(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetroot-copies-'));
  // nginx, where the tests run as root, reads as somebody else.
  await chmod(folder, 0o755);
  folders.push(folder);
  return folder;
}

const taskFor = (...targets: CopyTarget[]): Task => copiesTask({
  published: store.published, targets, beat: async (target, figures) => void beats.push({ target, ...figures }), clock: systemClock, everyMs: 1000,
  logger: createLogger({ role: 'test', level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
});

async function tree(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true });
  return all.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name).slice(folder.length + 1)).sort();
}

const manifestOf = async (folder: string): Promise<{ complete: boolean; objects: { path: string; sha256: string; number?: string; nextUpdate?: string }[] }> =>
  JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as never;

const PATHS = [
  'ca/copied.cer', 'ca/copied.p7c', 'crl/copied.crl', 'crl/copied.delta.crl', 'crl/copied/64/17.crl', 'index.json', 'truststores/fleet.crl.pem', 'truststores/fleet.pem',
];

describe('copies in a folder', () => {
  it('lie at the paths of their URLs, are listed, and are written again only where they changed', async () => {
    const folder = await folderOf();
    const task = taskFor(new DirectoryTarget(folder));
    await task.run(never);
    expect(await tree(folder)).toEqual(PATHS);
    const { complete, objects } = await manifestOf(folder);
    expect(complete).toBe(true);
    expect(objects.map(({ path }) => path)).toEqual(PATHS.filter((path) => path !== 'index.json'));
    for (const { path, sha256, number, nextUpdate } of objects) {
      const octets = await readFile(join(folder, path));
      expect([path, hash('sha256', octets)]).toEqual([path, sha256]);
      if (path === 'crl/copied.crl') expect([number, nextUpdate]).toEqual([String(parseCrl(octets).number), parseCrl(octets).nextUpdate.toISOString()]);
    }
    // Each write moves it on by a second at least.
    const written = async (path: string): Promise<number> => (await stat(join(folder, path))).mtimeMs;
    const before = await Promise.all(PATHS.map(written));
    await publisher.publish({ kind: 'delta', entries: someEntries(4) });
    await task.run(never);
    await taskFor(new DirectoryTarget(folder)).run(never);
    const after = await Promise.all(PATHS.map(written));
    expect(PATHS.filter((_, n) => after[n] !== before[n])).toEqual(['crl/copied.delta.crl', 'index.json']);
  });
  it('are seen by web servers as changed, also twice in a second', async () => {
    const folder = await folderOf();
    const task = taskFor(new DirectoryTarget(folder));
    const times: number[] = [];
    for (let n = 0; n < 3; n++) {
      await publisher.publish({ scope: '8/1', entries: someEntries(1, n) });
      await task.run(never);
      times.push(Math.floor((await stat(join(folder, 'crl/copied/8/1.crl'))).mtimeMs / 1000));
    }
    expect(new Set(times).size).toBe(3);
  });
  it('come back where somebody has deleted or changed them', async () => {
    const folder = await folderOf();
    const task = taskFor(new DirectoryTarget(folder));
    await task.run(never);
    const crl = await readFile(join(folder, 'crl/copied/64/17.crl'));
    await unlink(join(folder, 'crl/copied/64/17.crl'));
    await writeFile(join(folder, 'ca/copied.cer'), 'no certificate');
    await task.run(never);
    expect((await readFile(join(folder, 'crl/copied/64/17.crl'))).equals(crl)).toBe(true);
    expect((await readFile(join(folder, 'ca/copied.cer'))).equals(Buffer.from(ca.certificate))).toBe(true);
  });
  it('of a scope that is no more stay, and a CRL that is newer than the ledger\'s too, which is said (I13)', async () => {
    const folder = await folderOf();
    await mkdir(join(folder, 'crl/copied/9'), { recursive: true });
    await writeFile(join(folder, 'crl/copied/9/1.crl'), 'of a scope that was');
    const newer = signCrl(ca, { number: BigInt(Date.now()) + 1_000_000n });
    await writeFile(join(folder, 'crl/copied.crl'), newer);
    await writeFile(join(folder, 'crl/copied.delta.crl'), signCrl(ca, { kind: 'delta', number: 1n, baseNumber: 1n }));
    const before = lines.length;
    await taskFor(new DirectoryTarget(folder)).run(never);
    expect((await readFile(join(folder, 'crl/copied.crl'))).equals(Buffer.from(newer))).toBe(true);
    expect(await readFile(join(folder, 'crl/copied/9/1.crl'), 'utf8')).toBe('of a scope that was');
    expect((await readFile(join(folder, 'crl/copied.delta.crl'))).length).toBeGreaterThan(300);
    expect(lines.slice(before).join('')).toContain('a newer CRL lies in the copies than the ledger knows');
  });
  it('are one or the other, when two workers write at once', async () => {
    const folder = await folderOf();
    const tasks = [taskFor(new DirectoryTarget(folder)), taskFor(new DirectoryTarget(folder))];
    let last = 0n;
    for (let n = 0; n < 6; n++) {
      const number = BigInt(Date.now()) + BigInt(n);
      await publisher.publish({ scope: '4/1', number, entries: someEntries(2000, n) });
      await Promise.all(tasks.map((task) => task.run(never)));
      const lies = parseCrl(await readFile(join(folder, 'crl/copied/4/1.crl'))).number;
      expect(lies >= last).toBe(true);
      last = lies;
    }
    for (const task of tasks) await task.run(never);
    expect((await tree(folder)).filter((path) => path.startsWith('.incoming'))).toEqual([]);
  });

  test.each<[string, (folder: string) => Promise<() => Promise<unknown>>]>([
    ['is not there', async (folder) => {
      await rm(folder, { recursive: true });
      return () => mkdir(folder);
    }],
    ['has a file where a folder is to be', async (folder) => {
      await writeFile(join(folder, 'crl'), 'in the way');
      return () => unlink(join(folder, 'crl'));
    }],
  ])('wait for a folder that %s: it is said, counted, and made up for', async (_name, spoil) => {
    const folder = await folderOf();
    const task = taskFor(new DirectoryTarget(folder));
    const mend = await spoil(folder);
    const before = lines.length;
    await task.run(never);
    await task.run(never);
    expect(beats.at(-1)?.failed).toBeGreaterThan(0);
    expect(lines.slice(before).filter((line) => line.includes('are not complete'))).toHaveLength(1);
    await mend();
    await task.run(never);
    expect((await tree(folder)).filter((path) => PATHS.includes(path))).toEqual(PATHS);
    expect([beats.at(-1)?.failed, (await manifestOf(folder)).complete]).toEqual([0, true]);
    expect(lines.slice(before).join('')).toContain('complete again');
  });

  it('keep what lies there when the disk is full, whole, and go on when it is not', async () => {
    const disk = await folderOf();
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=600k,mode=0755', 'tmpfs', disk], { stdio: 'pipe' });
    } catch {
      // Not everybody may mount: the CI's own user may.
      return;
    }
    try {
      const task = taskFor(new DirectoryTarget(disk));
      await task.run(never);
      const small = await readFile(join(disk, 'crl/copied.crl'));
      await publisher.publish({ entries: someEntries(30_000) });
      await task.run(never);
      expect((await readFile(join(disk, 'crl/copied.crl'))).equals(small)).toBe(true);
      expect(beats.at(-1)?.failed).toBeGreaterThan(0);
      expect((await tree(disk)).filter((path) => path.startsWith('.incoming'))).toEqual([]);
      execFileSync('mount', ['-o', 'remount,size=20m', disk]);
      await task.run(never);
      expect((await readFile(join(disk, 'crl/copied.crl'))).length).toBeGreaterThan(1_000_000);
      expect(beats.at(-1)?.failed).toBe(0);
    } finally {
      execFileSync('umount', [disk]);
      await publisher.publish({ entries: someEntries(50) });
    }
  });

  it('are whole after each kill of the process that writes them', async () => {
    const folder = await folderOf();
    for (let kill = 0; kill < 3; kill++) {
      const child = spawn(process.execPath, ['--conditions=fleetroot-source', fileURLToPath(new URL('../support/copier-victim.ts', import.meta.url)), folder], { stdio: ['ignore', 'pipe', 'inherit'] });
      let rounds = 0;
      child.stdout.on('data', (dots: Buffer) => (rounds += dots.length));
      await expect.poll(() => rounds, { timeout: 20_000, interval: 5 }).toBeGreaterThan(1);
      await sleep(kill * 7);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      for (const { path } of (await manifestOf(folder)).objects) {
        const text = await readFile(join(folder, path), 'utf8');
        expect([path, text.length, new Set(text).size]).toEqual([path, 200_000, 1]);
      }
    }
    // What was left is nobody's business, and goes in time.
    expect((await tree(folder)).filter((path) => !/^(index\.json|truststores\/\d\.pem|\.incoming\/\d+-\d+)$/.test(path))).toEqual([]);
  });
});

describe('nginx that hands out a folder of copies', () => {
  let nginx: ChildProcess | undefined;
  afterEach(async () => {
    const child = nginx;
    nginx = undefined;
    if (child === undefined || child.exitCode !== null) return;
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGTERM');
    });
  });
  it('gives CRLs that openssl verifies through curl, with the headers that caches need, and nothing else', async () => {
    const [folder, etc] = [await folderOf(), await folderOf()];
    await taskFor(new DirectoryTarget(folder)).run(never);
    await mkdir(join(folder, '.incoming'), { recursive: true });
    await writeFile(join(folder, '.incoming/1-1'), 'half');
    const port = await freePort();
    // The recipe of the documentation, as it stands.
    const page = await readFile(new URL('../../docs/publishing.md', import.meta.url), 'utf8');
    const server = /```nginx\n(server \{[\s\S]*?\n\})\n```/.exec(page)?.[1] ?? '';
    expect(server).toContain('root /srv/status;');
    await writeFile(join(etc, 'nginx.conf'), `
daemon off; master_process off; pid ${etc}/nginx.pid; error_log ${etc}/error.log info;
events {}
http {
  access_log off;
  client_body_temp_path ${etc}; proxy_temp_path ${etc}; fastcgi_temp_path ${etc}; uwsgi_temp_path ${etc}; scgi_temp_path ${etc};
  ${server.replace('/srv/status', folder).replace('listen 80;', `listen 127.0.0.1:${port};`)}
}`);
    await writeFile(join(etc, 'ca.pem'), encodePem('CERTIFICATE', ca.certificate));
    nginx = spawn('nginx', ['-c', join(etc, 'nginx.conf'), '-p', etc], { stdio: 'inherit' });
    const curl = async (path: string, ...args: string[]): Promise<string> => (await promisify(execFile)('curl', ['-s', '-i', ...args, `http://127.0.0.1:${port}/${path}`], { encoding: 'latin1', maxBuffer: 1 << 26 })).stdout;
    await expect.poll(() => curl('ca/copied.cer').catch(() => ''), { timeout: 10_000 }).toContain('200 OK');
    for (const path of ['crl/copied.crl', 'crl/copied.delta.crl', 'crl/copied/64/17.crl']) {
      const judged = execFileSync('sh', ['-c', `curl -sf http://127.0.0.1:${port}/${path} | openssl crl -inform DER -noout -verify -CAfile ${etc}/ca.pem 2>&1`], { encoding: 'utf8' });
      expect(judged).toContain('verify OK');
      expect(await curl(path, '-I')).toMatch(/Content-Type: application\/pkix-crl[\s\S]*Cache-Control: public, max-age=60, must-revalidate, no-transform/);
    }
    const etag = /ETag: (\S+)/.exec(await curl('crl/copied.crl', '-I'))?.[1] ?? '';
    expect(await curl('crl/copied.crl', '-H', `If-None-Match: ${etag}`)).toContain('304');
    expect(await curl('crl/copied.crl', '-r', '0-9')).toContain('206');
    expect(await curl('ca/copied.p7c', '-I')).toContain('application/pkcs7-mime');
    expect(await curl('truststores/fleet.crl.pem')).toContain('BEGIN X509 CRL');
    expect(await curl('index.json', '-I')).toMatch(/200 OK[\s\S]*no-cache/);
    for (const path of ['.incoming/1-1', 'crl/', 'crl/nobody.crl', 'etc/passwd']) expect(await curl(path)).toContain('404');
  });
});

describe('copies in a bucket', () => {
  const credentials = { accessKeyId: 'COPIER', secretAccessKey: new Secret(randomBytes(20).toString('base64')) };
  const server = new S3Server(new Map([[credentials.accessKeyId, credentials.secretAccessKey.reveal()]]));
  let options: S3Options;
  const target = (change: Partial<S3Options> = {}) => new S3Target({ ...options, ...change }, systemClock);
  beforeAll(async () => {
    options = { ...credentials, endpoint: await server.start(), bucket: 'status', prefix: 'pki/', region: 'eu-central-1' };
  });
  afterAll(() => server.stop());
  const key = (path: string): string => `/status/pki/${path}`;

  it('are judged by a server that takes curl\'s signatures, and refuses others', async () => {
    const put = async (secret: string): Promise<string> => (await promisify(execFile)('curl', [
      '-s', '-o', '/dev/null', '-w', '%{http_code}', '--aws-sigv4', 'aws:amz:eu-central-1:s3', '--user', `${credentials.accessKeyId}:${secret}`,
      '-X', 'PUT', '--data-binary', 'by curl', '-H', 'content-type: text/plain', `${options.endpoint}/status/curl`,
    ])).stdout;
    expect([await put(credentials.secretAccessKey.reveal()), await put('wrong')]).toEqual(['200', '403']);
    expect(server.objects.get('/status/curl')?.octets.toString()).toBe('by curl');
    server.objects.clear();
    server.refused.length = 0;
  });
  it('are all there, with type, age and number, and put again only where they changed', async () => {
    const task = taskFor(target());
    await task.run(never);
    expect(server.refused).toEqual([]);
    expect(PATHS.every((path) => server.objects.has(key(path)))).toBe(true);
    const crl = server.objects.get(key('crl/copied.crl'));
    expect(crl?.headers).toMatchObject({
      'content-type': 'application/pkix-crl', 'cache-control': 'public, max-age=60, must-revalidate, no-transform', 'x-amz-meta-crl-number': String(parseCrl(crl?.octets ?? Buffer.alloc(0)).number),
    });
    server.requests.length = 0;
    await task.run(never);
    expect(server.requests).toEqual([]);
    await publisher.publish({ kind: 'delta', entries: someEntries(9) });
    await task.run(never);
    expect(server.writes()).toEqual([key('crl/copied.delta.crl'), key('index.json')]);
    server.requests.length = 0;
    await taskFor(target()).run(never);
    expect(server.writes().filter((path) => !path.endsWith('index.json')), 'another worker').toEqual([]);
  });
  it('never go back, whoever was faster between the look and the write (I13)', async () => {
    const path = key('crl/copied.crl');
    const newer = signCrl(ca, { number: BigInt(Date.now()) + 1_000_000n });
    const lays = (octets: Uint8Array): void => void server.objects.set(path, {
      octets: Buffer.from(octets), headers: { etag: '"foreign"', 'x-amz-meta-crl-number': String(parseCrl(octets).number), 'x-amz-meta-sha256': hash('sha256', octets) },
    });
    await publisher.publish({ entries: someEntries(11) });
    const task = taskFor(target());
    server.trouble = (method, asked) => {
      if (method === 'PUT' && asked === path) lays(newer);
      return undefined;
    };
    await task.run(never);
    server.trouble = () => undefined;
    await task.run(never);
    expect(server.objects.get(path)?.octets.equals(Buffer.from(newer))).toBe(true);
    server.objects.delete(path);
    await taskFor(target()).run(never);
    expect(server.objects.get(path)?.octets.equals(Buffer.from(newer))).toBe(false);
  });
  test.each<[string, number]>([['is in trouble', 503], ['refuses', 403]])('wait for a store that %s, which is said once, without the secret', async (_name, code) => {
    server.objects.clear();
    const task = taskFor(target());
    server.trouble = () => code;
    const before = lines.length;
    await task.run(never);
    await task.run(never);
    expect(beats.at(-1)?.failed).toBeGreaterThan(5);
    server.trouble = () => undefined;
    await task.run(never);
    expect(beats.at(-1)?.failed).toBe(0);
    const said = lines.slice(before).join('');
    expect(said.match(/are not complete/g)).toHaveLength(1);
    expect(said).toContain(`answered ${code}`);
    expect(said).not.toContain(credentials.secretAccessKey.reveal());
  });
  it('are none of a wrong secret, or of no store; a folder beside it has its own', async () => {
    const folder = await folderOf();
    server.objects.clear();
    await taskFor(new DirectoryTarget(folder), target({ secretAccessKey: new Secret('guess') }), target({ endpoint: `http://127.0.0.1:${await freePort()}` })).run(never);
    expect(server.objects.size).toBe(0);
    expect((await manifestOf(folder)).complete).toBe(true);
    expect(beats.slice(-3).map(({ target: name, failed }) => `${name} ${failed === 0}`).sort()).toEqual(['directory true', 's3 false', 's3 false']);
  });
});
