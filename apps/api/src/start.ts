import { setTimeout as sleep } from 'node:timers/promises';
import { principalOfToken, type Role } from '@fleetroot/access';
import { keyRecipient, readApprovalRules, readProfileFolder } from '@fleetroot/authority';
import type { Config } from '@fleetroot/config';
import { Breath, LedgerKey, PkiError, systemClock } from '@fleetroot/core';
import { EcuPace, FirstConnection, Refusals } from '@fleetroot/fleet';
import { type AppRoute, type Authenticate, createHttpApp, healthModule, type HttpAppOptions, listen, metricsModule, type Pace } from '@fleetroot/http';
import { JobProducer, type QueueOptions } from '@fleetroot/queue';
import { openStore } from '@fleetroot/store';
import { type Logger, Metrics } from '@fleetroot/telemetry';
import { ClientAuthorizer } from '@fleetroot/trust';
import { readBlockedKeys } from '@fleetroot/x509';
import { apiModule, type ApiParts, deviceModule } from './api-module.ts';
import { Authorities } from './authorities.ts';
import { authorizerFigures } from './authorize/figures.ts';
import { GatewayChecks } from './authorize/gateway-checks.ts';
import { ProxyFront } from './authorize/proxy-front.ts';
import { Proxies } from './authorize/proxies.ts';
import { proxyRoutes } from './authorize/proxy-routes.ts';
import { TokenMemory } from './authorize/token-memory.ts';
import { BatchReception } from './batches/batch-reception.ts';
import { CRL_TYPE } from './cas/ca-imports.controller.ts';
import { IssuanceOnRequest } from './certificates/issuance-on-request.ts';
import { DeviceIssuance } from './device/device-issuance.ts';
import { DeviceListener, deviceTls } from './device/device-listener.ts';
import { OperationalCertificates } from './device/operational-certificate.ts';
import { TlsIdentityKeeper } from './device/tls-identity.ts';
import { copiesFigures } from './copies-figures.ts';
import { crlFigures } from './crl-figures.ts';
import { fsckFigures } from './fsck-figures.ts';
import { issuerFigures } from './issuer-figures.ts';
import { KeyDelivery } from './key-batches/key-delivery.ts';
import { KeyMaking } from './key-batches/key-making.ts';
import { Turns } from './key-batches/turns.ts';
import type { Ledger } from './ledger.ts';
import { openApiDocument } from './openapi/document.ts';
import { OutboxRelay } from './outbox-relay.ts';
import { ProfileCatalogue } from './profile-catalogue.ts';
import { readinessChecks } from './readiness.ts';
import { CompromiseProofs } from './revocations/compromise-proofs.ts';
import { systemPrincipal } from './system-principal.ts';
import { UploadReception } from './uploads/upload-reception.ts';

export const apiSettings = [
  'databaseUrl', 'databasePool', 'ledgerKey', 'queueBackend', 'redisUrl', 'apiListen', 'deviceListen', 'deviceHost',
  'deviceTlsDir', 'statusPublicUrl', 'issuingCa', 'profilesDir', 'chunkItems', 'maxBatchItems', 'issueTimeoutMs', 'madeKeyMinutes', 'revokeApprovals', 'keyBlocklist',
  'authorizeProxies', 'authorizeStaleSeconds', 'authorizeMemory', 'logLevel',
] as const;

export type ApiConfig = Config<(typeof apiSettings)[number]>;

export interface RunningApi {
  readonly port: number;
  /** undefined until the device listener has a certificate. */
  devicePort(): number | undefined;
  close(): Promise<void>;
}

const VERSION = '0.1.0';
const BODY_LIMIT = 256 * 1024;
/** Whoever calls while the database is away is told within two seconds. */
const DATABASE_WITHIN_MS = 1500;
/** How long the end of what was being received is waited for, once every connection is closed. */
const SETTLE_MS = 2500;
/** Longer than this nothing that the authorizer knows is believed anyway. */
const MOST_STALE_SECONDS = 30;
const METRICS_ROLES: readonly Role[] = ['auditor', 'admin'];

export interface ApiLimits {
  /** What a request may take beyond the wait for a certificate: the ledger's part, and a slow client's; milliseconds. */
  readonly marginMs: number;
  /** Of a batch that is sent as a stream. */
  readonly bodyPace: Pace;
}

const defaultLimits: ApiLimits = { marginMs: 15_000, bodyPace: { graceMs: 15_000, octetsPerSecond: 1024 } };

/** Starts the REST API, and the device listener as soon as our CA has issued its certificate. */
export async function startApi(config: ApiConfig, logger: Logger, given: Partial<ApiLimits> = {}): Promise<RunningApi> {
  const limits = { ...defaultLimits, ...given };
  const clock = systemClock;
  const blockedKeys = readBlockedKeys(config.keyBlocklist);
  const approvalRules = readApprovalRules(config.revokeApprovals);
  const proxies = Proxies.parse(config.authorizeProxies);
  const staleMs = Math.min(config.authorizeStaleSeconds, MOST_STALE_SECONDS) * 1000;
  const profileFiles = readProfileFolder(config.profilesDir, { statusUrl: config.statusPublicUrl });
  const ledgerKey = new LedgerKey(config.ledgerKey);
  const store = await openStore({ databaseUrl: config.databaseUrl, ledgerKey, pool: config.databasePool, connectWithinMs: DATABASE_WITHIN_MS });
  const producer = new JobProducer(queueOptions(config), { onError: (error) => logger.warn({ err: error }, 'the queue reports a fault') });
  const closing = new AbortController();
  try {
    const ledger: Ledger = store;
    const profiles = await ProfileCatalogue.record(profileFiles, ledger.profiles);
    const principal = await systemPrincipal(ledger.principals, 'api', clock);
    const authorities = new Authorities(ledger.authorities, config.issuingCa);
    const relay = new OutboxRelay(ledger.outbox, producer, logger);
    const breath = new Breath();
    const issuance = new IssuanceOnRequest({ batches: ledger.batches, relay, clock, blockedKeys, timeoutMs: config.issueTimeoutMs, closing: closing.signal, breath });
    const refusals = new Refusals(ledger.registrations);
    const pace = new EcuPace();
    const guesses = new Turns(4, 16);
    const metrics = new Metrics('api');
    const authorizer = new ClientAuthorizer({
      ledger: ledger.clients, authorities: () => authorities.judged(), clock, blockedKeys, staleMs, limit: config.authorizeMemory,
    });
    const authenticate = (token: string): ReturnType<Authenticate> => answeredWithin(DATABASE_WITHIN_MS, principalOfToken(token, ledger.principals, clock.now()));
    const { principalOf } = new TokenMemory(authenticate, staleMs);
    const routes: { api: AppRoute[]; device: AppRoute[] } = { api: [], device: [] };
    let document: object | undefined;
    const parts: ApiParts = {
      ledger, clock, closing: closing.signal, bodyPace: limits.bodyPace, profiles, authorities, relay, issuance, breath,
      reception: new BatchReception({ batches: ledger.batches, relay, clock, logger, blockedKeys, chunkItems: config.chunkItems, maxItems: config.maxBatchItems, breath }),
      uploads: new UploadReception(ledger.uploads, { blockedKeys, chunkItems: config.chunkItems, maxItems: config.maxBatchItems }, breath),
      keyMaking: new KeyMaking({
        batches: ledger.batches, madeKeys: ledger.madeKeys, relay, clock, logger, blockedKeys, chunkItems: config.chunkItems,
        lifetimeMs: config.madeKeyMinutes * 60_000, closing: closing.signal, turns: new Turns(2, 6), guesses,
        recipientOf: (pem) => keyRecipient(pem, { authorities: () => authorities.all(), certificates: ledger.certificates, clock }),
        binding: (text) => ledgerKey.blindIndex(text, 'key-batch'),
      }),
      keyDelivery: new KeyDelivery({
        batches: ledger.batches, madeKeys: ledger.madeKeys, authorities, clock, timeoutMs: config.issueTimeoutMs, closing: closing.signal, guesses,
      }),
      firstConnection: new FirstConnection({
        suppliers: ledger.suppliers, registrations: ledger.registrations, refusals, pace, clock, distrusted: (path) => authorities.distrustedIn(path),
      }),
      operational: new OperationalCertificates({ authorities: () => authorities.all(), certificates: ledger.certificates, refusals, clock }),
      deviceIssuance: new DeviceIssuance(issuance, principal), pace, approvalRules,
      proofs: new CompromiseProofs({ compromises: ledger.compromises, relay, clock, principal }),
      gatewayChecks: new GatewayChecks({ authorizer, proxies, principalOf, onAnswer: authorizerFigures(metrics, authorizer) }),
      document: () => (document ??= openApiDocument([{ routes: routes.api }, { routes: routes.device, url: `https://${config.deviceHost}:${config.deviceListen.port}` }], VERSION)),
    };
    issuerFigures(metrics, store.heartbeats, store.issuance);
    fsckFigures(metrics, store.inspections, clock);
    copiesFigures(metrics, store.heartbeats);
    const front = new ProxyFront(parts.gatewayChecks, (error) => logger.error({ err: error }, 'a gateway\'s question failed: the client was refused'));
    crlFigures(metrics, store.heartbeats);
    const options = httpOptions(config, logger, metrics, limits);

    const deviceApp = await createHttpApp(deviceModule(parts), {
      ...options, https: deviceTls, challenge: 'TLS realm="fleetroot devices"', onRoute: (route) => routes.device.push(route),
    });
    const keeper = new TlsIdentityKeeper({ folder: config.deviceTlsDir, host: config.deviceHost, issuance, authorities, profiles, principal, clock });
    const device = new DeviceListener(deviceApp, keeper, config.deviceListen, logger);
    const observation = [
      healthModule({ role: 'api', checks: readinessChecks({ ledger, producer, authorities, clock, device }) }), metricsModule(metrics, METRICS_ROLES),
    ];
    const app = await createHttpApp(apiModule(parts, observation), {
      ...options, octetTypes: [CRL_TYPE],
      authenticate: (token, { frequent }) => (frequent === true ? principalOf(token) : authenticate(token)), onRoute: (route) => routes.api.push(route),
      plainRoutes: (fastify) => proxyRoutes(fastify, front),
      ahead: (request, response) => front.handle(request, response),
    });
    const port = await listen(app, config.apiListen, 'FLEETROOT_API_LISTEN');
    device.start();
    return {
      port,
      devicePort: () => device.port,
      close: async () => {
        closing.abort();
        await Promise.all([app.close(), device.close()]);
        await Promise.race([parts.reception.settled(), sleep(SETTLE_MS, undefined, { ref: false })]);
        authorizer.close();
        await relay.close();
        await producer.close();
        await store.close();
      },
    };
  } catch (error) {
    await Promise.allSettled([producer.close(), store.close()]);
    throw error;
  }
}

/**
 * The first question of every request to the database: one that is frozen, or behind a cut cable, refuses no connection and
 * answers no question. What it answers late is thrown away.
 * @throws PkiError `store.unavailable`
 */
async function answeredWithin<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PkiError('store.unavailable', 'the database does not answer')), ms);
  });
  answer.catch(() => undefined);
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

function queueOptions({ queueBackend, databaseUrl, redisUrl }: ApiConfig): QueueOptions {
  if (queueBackend === 'postgres') return { kind: 'postgres', databaseUrl };
  if (redisUrl === undefined) throw new PkiError('config.invalid', 'FLEETROOT_QUEUE is redis, and FLEETROOT_REDIS_URL_FILE is not set');
  return { kind: 'redis', url: redisUrl };
}

function httpOptions(config: ApiConfig, logger: Logger, metrics: Metrics, { marginMs }: ApiLimits): HttpAppOptions {
  const seconds = metrics.histogram({
    name: 'fleetroot_http_request_seconds', help: 'Requests by route and status, from first octet to last',
    labels: ['method', 'route', 'status'], buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
  });
  return {
    logger, bodyLimit: BODY_LIMIT, requestTimeoutMs: config.issueTimeoutMs + marginMs,
    onOutcome: ({ method, route, status, seconds: taken }) => seconds.observe({ method, route, status: String(status) }, taken),
  };
}
