import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { newToken, type Role, tokenSha256 } from '@fleetroot/access';
import { type HeldObjects, importCeremony, signsStatus } from '@fleetroot/authority';
import { LedgerKey, systemClock, systemRandom } from '@fleetroot/core';
import { JobProducer } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { createLogger, type Running } from '@fleetroot/telemetry';
import { truststorePem } from '@fleetroot/trust';
import { type ApiConfig, type ApiLimits, type RunningApi, startApi } from '../../apps/api/src/start.ts';
import { ensureDevelopmentHierarchy } from '../../apps/cli/src/ceremony/hierarchy.ts';
import { startIssuer } from '../../apps/issuer/src/start.ts';
import { startTestPostgres, type TestPostgres } from './postgres.ts';
import { until } from './product.ts';
import { makeToken, type TestToken } from './softhsm.ts';

const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const STATUS_URL = 'http://status.example';
const tokenHolders = {
  admin: ['admin'], security: ['security'], line: ['line'], 'line-2': ['line'], gateway: ['gateway'], auditor: ['auditor'],
} as const satisfies Record<string, readonly Role[]>;

type TokenHolder = keyof typeof tokenHolders;

/** The api with all that it needs but the status app: PostgreSQL, a CA token after a ceremony, an issuer. */
export interface ApiPlant {
  readonly base: string;
  readonly port: number;
  readonly store: Store;
  /** PostgreSQL URL, with the password. */
  readonly databaseUrl: string;
  readonly ledgerKey: Uint8Array;
  readonly api: RunningApi;
  readonly postgres: TestPostgres;
  readonly dir: string;
  token(holder: TokenHolder): string;
  fetch(method: string, path: string, holder?: TokenHolder, options?: { headers?: Record<string, string>; body?: string | Uint8Array }): Promise<Response>;
  /** With a JSON body, and the answer as JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any
  json(method: string, path: string, holder?: TokenHolder, body?: unknown, headers?: Record<string, string>): Promise<{ status: number; headers: Headers; body: any }>;
  /** What api and issuer have logged so far. */
  logged(): string;
  startIssuer(): Promise<Running>;
  /** Holds one more ceremony (YAML) with the CA token; nothing of it comes on record. */
  ceremony(plan: string): Promise<HeldObjects>;
  /** What the worker would do by its schedule: has the issuer publish the CRL of each CA. */
  publishCrls(): Promise<void>;
  /** Resolves when /readyz says so. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

export async function startApiPlant(overrides: Partial<ApiConfig> = {}, limits: Partial<ApiLimits> = {}): Promise<ApiPlant> {
  const dir = mkdtempSync(join(tmpdir(), 'fleetroot-api-'));
  const [postgres, token]: [TestPostgres, TestToken] = await Promise.all([startTestPostgres(), makeToken('fleetroot-ca')]);
  const ledgerKey = randomBytes(32);
  const store = await openStore({ databaseUrl: postgres.databaseUrl, ledgerKey: new LedgerKey(ledgerKey), pool: 4 });
  const hold = (planFile: string): Promise<HeldObjects> => ensureDevelopmentHierarchy({
    planFile, dataDir: dir, module: token.module, tokenLabel: token.tokenLabel, pin: token.pin,
    softhsmConf: token.softhsmConf, statusUrl: STATUS_URL, clock: systemClock,
  });
  const held = await hold(root('hsm-config/ceremony-dev.yaml'));
  const authorities = await importCeremony(store.authorities, store.crls, held, { actor: 'system:test', clock: systemClock, state: 'active' });
  const tokens = await principals(store);
  await store.truststores.publish('ecu-clients', 'ECUs', authorities.map(({ id }) => id), truststorePem(authorities), (version) => ({
    action: 'truststore.published', actor: 'system:test', at: new Date(), subject: 'truststore:ecu-clients', data: { version },
  }));

  let logged = '';
  const logger = (role: string) => {
    const destination = new PassThrough();
    destination.on('data', (line: Buffer) => (logged += line.toString()));
    return createLogger({ role, level: 'info', destination });
  };
  const queue = { kind: 'postgres', databaseUrl: postgres.databaseUrl } as const;
  const issuers: Running[] = [];
  const start = async (): Promise<Running> => {
    const issuer = await startIssuer({
      logger: logger('issuer'), databaseUrl: postgres.databaseUrl, pool: 4, ledgerKey, queue,
      token: { module: token.module, tokenLabel: token.tokenLabel, pin: token.pin, softhsmConf: token.softhsmConf, deadlineMs: 5000, sessionCopies: 'try' },
      shares: { line: 60, renewal: 15, ocsp: 10, crl: 10, administration: 5 },
      concurrency: 2, staleAfterMs: 30_000, crlLifetimeMs: 3_600_000, crlDeltaLifetimeMs: 600_000, crlRefreshPercent: 50, statusUrl: 'http://127.0.0.1:8081',
    }, { fail: (error) => { throw error; } });
    issuers.push(issuer);
    return issuer;
  };
  const api = await startApi({
    databaseUrl: postgres.databaseUrl, databasePool: 8, ledgerKey, queueBackend: 'postgres', redisUrl: undefined,
    apiListen: { host: '127.0.0.1', port: 0 }, deviceListen: { host: '127.0.0.1', port: 0 }, deviceHost: 'localhost',
    deviceTlsDir: join(dir, 'device-tls'), statusPublicUrl: STATUS_URL, issuingCa: 'ecu-issuing', profilesDir: root('hsm-config/profiles'),
    chunkItems: 50, maxBatchItems: 2000, issueTimeoutMs: 10_000, madeKeyMinutes: 1440, revokeApprovals: '1000=1,100000=2', keyBlocklist: undefined,
    authorizeProxies: undefined, authorizeStaleSeconds: 10, authorizeMemory: 1000, logLevel: 'info', ...overrides,
  }, logger('api'), limits);
  let closed: Promise<void> | undefined;
  const closeApi = (): Promise<void> => (closed ??= api.close());
  const producer = new JobProducer(queue);
  const publishCrls = async (): Promise<void> => {
    for (const ca of await store.authorities.all()) if (signsStatus(ca)) await producer.add('publish-crl', { caId: ca.id });
  };
  await publishCrls();

  const base = `http://127.0.0.1:${api.port}`;
  const request: ApiPlant['fetch'] = (method, path, holder, { headers = {}, body } = {}) => fetch(`${base}${path}`, {
    method, ...(body === undefined ? {} : { body }),
    headers: { ...(holder === undefined ? {} : { authorization: `Bearer ${tokens.get(holder) ?? ''}` }), ...headers },
  });
  return {
    base, port: api.port, store, databaseUrl: postgres.databaseUrl.reveal(), ledgerKey, api: { ...api, close: closeApi }, postgres, dir,
    token: (holder) => tokens.get(holder) ?? '',
    fetch: request,
    async json(method, path, holder, body, headers = {}) {
      const response = await request(method, path, holder, body === undefined ? { headers } : { headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
    },
    logged: () => logged,
    startIssuer: start, publishCrls,
    ceremony(plan) {
      const file = join(dir, 'ceremony.yaml');
      writeFileSync(file, plan);
      return hold(file);
    },
    async ready() {
      let said = '';
      await until(async () => {
        const response = await request('GET', '/readyz');
        said = await response.text();
        return response.ok;
      }, 30_000, () => `the api did not get ready: ${said}`);
    },
    async close() {
      await closeApi();
      await Promise.all(issuers.map((issuer) => issuer.close()));
      await producer.close();
      await store.close();
      await Promise.all([postgres.stop(), token.remove()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function principals(store: Store): Promise<Map<string, string>> {
  const tokens = new Map<string, string>();
  for (const [name, roles] of Object.entries(tokenHolders)) {
    const token = newToken(systemRandom);
    await store.principals.put(name, roles, tokenSha256(token) ?? new Uint8Array(), undefined, {
      action: 'principal.created', actor: 'system:test', at: new Date(), subject: `principal:${name}`, data: {},
    });
    tokens.set(name, token);
  }
  return tokens;
}
