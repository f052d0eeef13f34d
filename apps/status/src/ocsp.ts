import { type Clock, isPkiError, toHex } from '@fleetroot/core';
import { OcspResponder } from '@fleetroot/ocsp';
import type { StatusStore } from '@fleetroot/store';
import type { Logger, Metrics, ProcessControl } from '@fleetroot/telemetry';
import { OcspAhead } from './ocsp-ahead.ts';
import { OcspFront, type OcspMethod } from './ocsp-front.ts';
import { OcspKeeping } from './ocsp-keeping.ts';
import type { OcspSigners } from './ocsp-signers.ts';
import { OcspWatch } from './ocsp-watch.ts';

export interface OcspOptions {
  /** nextUpdate minus thisUpdate. */
  readonly validityMinutes: number;
  /** Memory for answers. */
  readonly memoryMib: number;
  readonly unknownPerSecond: number;
}

export interface OcspParts extends OcspOptions {
  readonly store: Pick<StatusStore, 'authorities' | 'revocations' | 'ocspAnswers'>;
  readonly signers: Pick<OcspSigners, 'signerFor'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly control: ProcessControl;
}

export interface Ocsp {
  readonly front: OcspFront;
  close(): Promise<void>;
}

const CLEAN_MS = 60_000;
/** One line of log for all failures in so long, in milliseconds: requests come by the thousand. */
const QUIET_MS = 1000;

/** The responder with all that it needs: what it hears of, what it keeps, what it makes ahead. */
export function startOcsp(parts: OcspParts): Ocsp {
  const { store, clock, logger } = parts;
  const lifetimeMs = parts.validityMinutes * 60_000;
  const keeping = new OcspKeeping((answers) => store.ocspAnswers.store(answers));
  const failed = quietly(logger, parts.control);
  const watch = new OcspWatch({
    ledger: store, signers: parts.signers, clock,
    onTold: (caId, serial) => {
      responder.told(caId, serial === undefined ? undefined : toHex(serial));
      if (serial !== undefined) ahead.add(caId, serial);
    },
    onFailure: (error) => logger.warn({ err: error }, 'the ledger cannot be looked at: OCSP goes on with what it knows'),
  });
  const responder = new OcspResponder({
    ledger: {
      authorities: () => watch.authorities(), lookUp: (asked) => store.ocspAnswers.lookUp(asked), store: async (answers) => keeping.add(answers),
    },
    signerFor: (caId) => watch.signerFor(caId), clock, lifetimeMs, memoryOctets: parts.memoryMib * 1024 * 1024,
    unknownPerSecond: parts.unknownPerSecond, knownUntil: () => watch.knownUntil(), checkClock: () => watch.checkClock(), onError: failed,
  });
  const ahead = new OcspAhead({
    prepare: (caId, serials, remember) => responder.prepare(caId, serials, remember),
    caIds: async () => (await watch.authorities()).map(({ id }) => id),
    newestRevoked: (caId, limit) => store.ocspAnswers.newestRevoked(caId, limit),
    onFailure: (error) => logger.debug({ err: error }, 'OCSP answers not made ahead'), roundMs: lifetimeMs / 4,
  });
  const front = new OcspFront({ responder, clock });
  measure(parts.metrics, front, responder);
  watch.start();
  ahead.start();
  const cleaning = setInterval(() => void store.ocspAnswers.removeEnded().catch(() => undefined), CLEAN_MS);
  return {
    front,
    async close() {
      clearInterval(cleaning);
      await ahead.close();
      await watch.close();
      await keeping.close();
    },
  };
}

function quietly(logger: Logger, control: ProcessControl): (error: unknown) => void {
  let next = 0;
  let unsaid = 0;
  return (error) => {
    if (isPkiError(error) && error.retry === 'stop') control.fail(error);
    if (performance.now() < next) {
      unsaid++;
      return;
    }
    logger.warn({ err: error, alike: unsaid }, 'OCSP request not answered');
    next = performance.now() + QUIET_MS;
    unsaid = 0;
  };
}

function measure(metrics: Metrics, front: OcspFront, responder: OcspResponder): void {
  const answers = metrics.counter({ name: 'fleetroot_ocsp_responses_total', help: 'OCSP responses, by method and outcome', labels: ['method', 'outcome'] });
  const sources = metrics.counter({ name: 'fleetroot_ocsp_response_sources_total', help: 'OCSP responses, by what they were made from', labels: ['source'] });
  const octets = metrics.gauge({ name: 'fleetroot_ocsp_memory_octets', help: 'Memory that signed OCSP answers take' });
  metrics.beforeScrape(() => {
    const taken = front.takeCounts();
    for (const method of ['GET', 'POST'] satisfies OcspMethod[]) {
      for (const outcome of ['answer', 'error'] as const) answers.inc({ method, outcome }, taken.counts[method][outcome]);
    }
    for (const [source, count] of Object.entries(taken.sources)) sources.inc({ source }, count);
    octets.set(responder.remembered.octets);
  });
}
