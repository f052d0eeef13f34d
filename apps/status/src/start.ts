import { type Clock, PkiError, type Secret, systemClock } from '@fleetroot/core';
import { type Address } from '@fleetroot/config';
import { createHttpApp, type Degraded, type RequestOutcome } from '@fleetroot/http';
import { openStatusStore } from '@fleetroot/store';
import { type Logger, Metrics, type ProcessControl, type Running } from '@fleetroot/telemetry';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import { Enrolment } from './enrolment.ts';
import { Filters } from './filters.ts';
import { type OcspOptions, startOcsp } from './ocsp.ts';
import { OcspSigners } from './ocsp-signers.ts';
import { Published } from './published.ts';
import { openSignerKey, type SignerKeyOptions } from './signer-key.ts';
import { internalModule, statusModule } from './status.module.ts';

export interface StatusOptions {
  readonly logger: Logger;
  readonly databaseUrl: Secret;
  readonly pool: number;
  readonly listen: Address;
  readonly internalListen: Address;
  readonly enrolmentSecret: Secret;
  readonly ocspSignerRefreshPercent: number;
  /** What is not given is as the settings have it by default. */
  readonly ocsp?: Partial<OcspOptions>;
  readonly token: SignerKeyOptions;
  /** Octets of CRLs in memory. */
  readonly crlMemory?: number;
  readonly clock?: Clock;
}

const OCSP_DEFAULTS: OcspOptions = { validityMinutes: 60, memoryMib: 64, unknownPerSecond: 100 };
const REQUEST_TIMEOUT_MS = 10_000;

/** Starts the status app; its listeners accept on return. @throws PkiError */
export async function startStatus(options: StatusOptions, control: ProcessControl): Promise<Running> {
  const { logger } = options;
  const clock = options.clock ?? systemClock;
  const metrics = new Metrics('status');
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).toReversed()) await one();
  };
  try {
    const store = await openStatusStore({ databaseUrl: options.databaseUrl, pool: options.pool });
    closing.push(() => store.close());
    const key = await openSignerKey(options.token);
    closing.push(() => key.signer.close());

    const published = new Published(store.published, clock, {
      ...(options.crlMemory === undefined ? {} : { limit: options.crlMemory }),
      onAway: (error) => logger.warn({ err: error }, 'the database is away: what was read before is served from memory'),
      onBack: (awaySince) => logger.info({ awaySince: awaySince.toISOString() }, 'the database is back'),
      onError: (error) => logger.warn({ err: error }, 'a published CRL could not be read'),
    });
    await published.start();
    closing.push(async () => published.stop());
    metrics.gauge({ name: 'fleetroot_status_published_octets', help: 'Octets of CRLs and bundles in memory, with their gzip', collect: (gauge) => gauge.set(published.held) });
    metrics.gauge({ name: 'fleetroot_status_degraded', help: '1 while the database is away and what was read before is served', collect: (gauge) => gauge.set(published.awaySince === undefined ? 0 : 1) });
    const signers = new OcspSigners({
      ledger: { authorities: () => published.authorities(), ocspSigners: store.ocspSigners.bind(store) }, key, clock, refreshPercent: options.ocspSignerRefreshPercent,
    });
    const ocsp = startOcsp({ ...OCSP_DEFAULTS, ...options.ocsp, store, signers, clock, logger, metrics, control });
    closing.push(() => ocsp.close());
    const health = {
      role: 'status',
      checks: { database: () => databaseCheck(published), ocspSigner: () => signers.check(), crl: () => published.checkCrls() },
    };

    const common = { logger, requestTimeoutMs: REQUEST_TIMEOUT_MS, streamTimeoutMs: REQUEST_TIMEOUT_MS, onOutcome: outcomeMetric(metrics) };
    const app = await createHttpApp(statusModule({ ocsp: ocsp.front, published, filters: new Filters(store, published, clock), clock, health }), {
      ...common, bodyLimit: OCSP_MAX_OCTETS, octetTypes: ['application/ocsp-request'],
      ahead: (request, response) => ocsp.front.handle(request, response),
    });
    closing.push(() => app.close());
    const internal = await createHttpApp(internalModule(new Enrolment(signers, key, options.enrolmentSecret), metrics), { ...common, bodyLimit: 1024 });
    closing.push(() => internal.close());
    await listen(internal, options.internalListen);
    await listen(app, options.listen);
    return { close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws PkiError `store.unavailable` where there is nothing to serve without it */
async function databaseCheck(published: Published): Promise<Degraded | void> {
  // Throws where nothing was ever read.
  await published.authorities();
  const since = published.awaySince;
  if (since !== undefined) return { reason: 'the database is away: CRLs, CA certificates and truststores are served from memory until their nextUpdate', since };
}

async function listen(app: { listen(port: number, host: string): Promise<unknown> }, { host, port }: Address): Promise<void> {
  try {
    await app.listen(port, host);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new PkiError('setup.failed', `cannot listen on ${host}:${port}: ${code === 'EADDRINUSE' ? 'the port is taken' : String(code)}`, { cause });
  }
}

function outcomeMetric(metrics: Metrics): (outcome: RequestOutcome) => void {
  const seconds = metrics.histogram({
    name: 'fleetroot_http_request_seconds', help: 'Time from a request to its answer', labels: ['method', 'route', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  });
  return ({ method, route, status, seconds: took }) => seconds.observe({ method, route, status: String(status) }, took);
}
