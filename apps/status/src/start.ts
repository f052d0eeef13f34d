import { type Clock, isPkiError, PkiError, type Secret, systemClock } from '@fleetroot/core';
import { type Address } from '@fleetroot/config';
import { createHttpApp, type RequestOutcome } from '@fleetroot/http';
import { openStatusStore } from '@fleetroot/store';
import { type Logger, Metrics, type ProcessControl, type Running } from '@fleetroot/telemetry';
import { OCSP_MAX_OCTETS } from '@fleetroot/x509';
import { Enrolment } from './enrolment.ts';
import { Filters } from './filters.ts';
import { OcspSigners } from './ocsp-signers.ts';
import { Published } from './published.ts';
import { Responder } from './responder.ts';
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
  readonly token: SignerKeyOptions;
  readonly clock?: Clock;
}

/** thisUpdate to nextUpdate of an OCSP answer, in milliseconds. */
const ANSWER_LIFETIME_MS = 3_600_000;
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

    const published = new Published(store, clock);
    const ledger = {
      authorities: () => published.authorities(),
      ocspSigners: store.ocspSigners.bind(store),
      statuses: store.statuses.bind(store),
    };
    const signers = new OcspSigners({ ledger, key, clock, refreshPercent: options.ocspSignerRefreshPercent });
    const answers = metrics.counter({ name: 'fleetroot_ocsp_responses_total', help: 'OCSP responses, by method and outcome', labels: ['method', 'outcome'] });
    const responder = new Responder({
      ledger, clock, lifetimeMs: ANSWER_LIFETIME_MS,
      signerFor: (caId) => signers.signerFor(caId),
      onAnswer: (method, outcome) => answers.inc({ method, outcome }),
      onError: (error) => {
        logger.warn({ err: error }, 'OCSP request not answered');
        if (isPkiError(error) && error.retry === 'stop') control.fail(error);
      },
    });
    const health = {
      role: 'status',
      checks: { database: () => store.ping(), ocspSigner: () => signers.check(), crl: () => published.checkCrls() },
    };

    const common = { logger, requestTimeoutMs: REQUEST_TIMEOUT_MS, onOutcome: outcomeMetric(metrics) };
    const app = await createHttpApp(statusModule({ responder, published, filters: new Filters(store, published, clock), clock, health }), {
      ...common, bodyLimit: OCSP_MAX_OCTETS, octetTypes: ['application/ocsp-request'],
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
