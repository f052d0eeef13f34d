import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@fleetroot/core';
import { openFolder } from '../support/folder.ts';
import { HsmShim } from '../support/hsm-shim.ts';
import { recordingModule } from '../support/hsm-record.ts';
import { type Product, startProduct } from '../support/product.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { Orders } from './orders.ts';
import { FaultPostgres } from './postgres.ts';
import { Proxy } from './proxy.ts';

export type Backend = 'postgres' | 'redis';
export type RoleName = 'api' | 'issuer' | 'status' | 'worker';

export interface SiteOptions {
  readonly backend: Backend;
  readonly issuers: number;
  /** VARIABLE=VALUE, as `--set` takes them. */
  readonly settings?: readonly string[];
  /** The product reaches PostgreSQL through `site.proxy`. */
  readonly proxied?: boolean;
  /** PostgreSQL's data lie on a disk of their own of so many octets: a tmpfs. */
  readonly diskOctets?: number;
}

const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

/** The whole product with everything about it that a test can break; its HSM's signatures are on record. */
export class Site {
  static readonly #open = new Set<Site>();
  #closing: Promise<void> | undefined;
  readonly options: SiteOptions;
  readonly folder: string;
  readonly dataDir: string;
  /** Where the record of the HSM's signatures lies. */
  readonly record: string;
  readonly orders: Orders;
  readonly shim: HsmShim;
  readonly databaseDir: string;
  #postgres: FaultPostgres | undefined;
  #redis: TestRedis | undefined;
  #proxy: Proxy | undefined;
  #product: Product | undefined;
  readonly #module: string;

  private constructor(options: SiteOptions) {
    this.options = options;
    this.folder = openFolder('fleetroot-faults-');
    this.dataDir = join(this.folder, 'data');
    this.databaseDir = join(this.folder, 'postgres');
    this.record = join(this.folder, 'record');
    this.orders = new Orders(join(this.folder, 'orders'));
    for (const folder of [this.dataDir, this.databaseDir, join(this.folder, 'copies')]) mkdirSync(folder, { mode: 0o755 });
    mkdirSync(join(this.folder, 'shim'));
    this.shim = new HsmShim(join(this.folder, 'shim'), SOFTHSM);
    const module = recordingModule(this.record, this.shim.module);
    if (module === undefined) throw new Error('opensc-pkcs11 is missing: the signatures of the HSM cannot be recorded');
    this.#module = module;
  }

  static async open(options: SiteOptions): Promise<Site> {
    const site = new Site(options);
    Site.#open.add(site);
    try {
      await site.#prepare();
      await site.start();
      return site;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  /** Those that are open, wherever they were opened. */
  static async closeAll(): Promise<void> {
    await Promise.all([...Site.#open].map((site) => site.close()));
  }

  get product(): Product {
    return there(this.#product, 'product');
  }

  get postgres(): FaultPostgres {
    return there(this.#postgres, 'PostgreSQL');
  }

  get redis(): TestRedis {
    return there(this.#redis, 'Redis');
  }

  get proxy(): Proxy {
    return there(this.#proxy, 'proxy');
  }

  /** Starts the product, on what is there. */
  async start(): Promise<void> {
    const { issuers, settings = [] } = this.options;
    this.#product = await startProduct({
      dataDir: this.dataDir, keep: true, issuers, orders: this.orders.folder,
      arguments: [
        '--admin-database-url-file', join(this.folder, 'admin-url'),
        ...(this.#redis === undefined ? [] : ['--redis-url-file', join(this.folder, 'redis-url')]),
        ...['FLEETROOT_CHUNK_ITEMS=100', `FLEETROOT_HSM_MODULE=${this.#module}`, `FLEETROOT_COPY_DIR=${join(this.folder, 'copies')}`, ...settings].flatMap((setting) => ['--set', setting]),
      ],
    });
  }

  /** Ends the product and starts it again, all other parts stay; the milliseconds until it had ended. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    const began = performance.now();
    const status = await this.product.stop(signal);
    const took = performance.now() - began;
    if (signal !== 'SIGKILL' && status !== 0) throw new Error(`fleetroot up ended with ${status}`);
    await this.start();
    return took;
  }

  /** Again: the same promise. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close().finally(() => Site.#open.delete(this)));
  }

  async #close(): Promise<void> {
    await this.#product?.stop();
    this.#redis?.resume();
    await this.#redis?.stop();
    await this.#proxy?.close();
    this.#postgres?.thaw();
    await this.#postgres?.stop();
    if (this.options.diskOctets !== undefined) unmount(this.databaseDir);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    const { backend, proxied, diskOctets } = this.options;
    if (diskOctets !== undefined) execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskOctets},mode=755`, 'tmpfs', this.databaseDir], { stdio: 'pipe' });
    this.#postgres = await FaultPostgres.start(this.databaseDir);
    if (proxied === true) this.#proxy = await Proxy.open(this.#postgres.port);
    const url = new URL(this.#postgres.adminUrl.reveal());
    if (this.#proxy !== undefined) url.port = String(this.#proxy.port);
    secretFile(join(this.folder, 'admin-url'), new Secret(url.href));
    if (backend === 'redis') {
      this.#redis = await startRedis();
      secretFile(join(this.folder, 'redis-url'), this.#redis.url);
    }
  }

  /** What the operator was told. */
  notices(): string {
    return this.product.output();
  }

  log(name: string): string {
    return readFileSync(join(this.dataDir, 'logs', `${name}.log`), 'utf8');
  }
}

const there = <T>(part: T | undefined, name: string): T => {
  if (part === undefined) throw new Error(`the site has no ${name}`);
  return part;
};

const secretFile = (path: string, secret: Secret): void => writeFileSync(path, secret.reveal(), { mode: 0o600 });

function unmount(folder: string): void {
  try {
    execFileSync('umount', [folder], { stdio: 'pipe' });
  } catch {
    execFileSync('umount', ['-l', folder], { stdio: 'pipe' });
  }
}
