import { randomUUID } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import { inspect, type Profile, statusSite } from '@fleetroot/authority';
import { type Clock, type LedgerKey, PkiError, type Secret, systemClock } from '@fleetroot/core';
import { JobProducer, type QueueOptions } from '@fleetroot/queue';
import { type Logger, nestLogger, type Running } from '@fleetroot/telemetry';
import { Leadership } from './leadership.ts';
import type { Ledger } from './ledger.ts';
import type { Task } from './task.ts';
import { type ArchiveRule, archiveTask } from './tasks/archive.ts';
import { copiesTask, type CopyRule, copyTargets } from './tasks/copies.ts';
import { crlsTask } from './tasks/crls.ts';
import { crlWatchTask } from './tasks/crl-watch.ts';
import { filtersTask } from './tasks/filters.ts';
import { fsckTask } from './tasks/fsck.ts';
import { heartbeatTask } from './tasks/heartbeat.ts';
import { madeKeysTask } from './tasks/made-keys.ts';
import { ocspSignersTask } from './tasks/ocsp-signers.ts';
import { partitionsTask } from './tasks/partitions.ts';
import { relayOutboxTask } from './tasks/relay-outbox.ts';
import { renewalTask } from './tasks/renewal.ts';
import { retireTask } from './tasks/retire.ts';
import { revocationsTask } from './tasks/revocations.ts';
import { fetchSignerRequests } from './tasks/signer-requests.ts';
import { silentBatchesTask } from './tasks/silent-batches.ts';
import { forgottenChunksTask, orphanedChunksTask } from './tasks/stale-chunks.ts';
import { switchOverTask } from './tasks/switch-over.ts';
import { truststoresTask } from './tasks/truststores.ts';
import { workerModule } from './worker.module.ts';

export interface WorkerOptions {
  readonly logger: Logger;
  readonly store: Ledger & { close(): Promise<void> };
  readonly queue: QueueOptions;
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly statusInternalUrl: string;
  readonly enrolmentSecret: Secret;
  readonly staleAfterMs: number;
  readonly crlRefreshPercent: number;
  /** Absent or 0: no revocation filter is published by the schedule. */
  readonly filterHours?: number;
  readonly renewalWindowDays: number;
  readonly scheduleSeconds: number;
  /** undefined: nothing is archived by the schedule. */
  readonly archive?: ArchiveRule | undefined;
  /** Where copies of what is published go; absent: nowhere. */
  readonly copies?: CopyRule;
  /** The nightly look at the invariants; absent: none is taken. */
  readonly fsck?: {
    readonly ledgerKey: LedgerKey;
    /** Where CRLs are served to everybody. */
    readonly statusUrl: string;
    /** Of the day in UTC. */
    readonly hour: number;
  };
  readonly clock?: Clock;
}

/** Starts the schedule; the first round of every task has begun on return. The store is closed with it. @throws PkiError */
export async function startWorker(options: WorkerOptions): Promise<Running> {
  const { logger, store } = options;
  const instance = `worker-${randomUUID()}`;
  const producer = new JobProducer(options.queue, { onError: (error) => logger.warn({ err: error }, 'queue connection') });
  const closeParts = async (): Promise<void> => {
    await producer.close();
    await store.close();
  };
  try {
    const app = await NestFactory.createApplicationContext(
      workerModule({ tasks: tasksOf(options, producer, instance), leadership: new Leadership(store.leases, instance, logger), logger }),
      { logger: nestLogger(logger), abortOnError: false },
    );
    return {
      close: async () => {
        await app.close();
        await closeParts();
      },
    };
  } catch (error) {
    await closeParts();
    throw error;
  }
}

function tasksOf(options: WorkerOptions, producer: JobProducer, instance: string): readonly Task[] {
  const { logger, store } = options;
  const clock = options.clock ?? systemClock;
  const everyMs = Math.max(1, options.scheduleSeconds) * 1000;
  const profile = options.profiles.get('ocsp-signer');
  if (profile === undefined) throw new PkiError('profile.invalid', 'the folder of profiles has no profile ocsp-signer: without it no certificate can be revoked by OCSP');
  const hierarchy = { authorities: store.authorities, crls: store.crls, clock, logger, everyMs };
  return [
    heartbeatTask(store.heartbeats, instance),
    relayOutboxTask(store.outbox, producer, logger),
    orphanedChunksTask(store.waiting, producer, options.staleAfterMs, logger),
    forgottenChunksTask(store.waiting, producer, options.staleAfterMs, everyMs, logger),
    silentBatchesTask(store.batches, everyMs, logger),
    madeKeysTask(store.madeKeys, everyMs, clock, logger),
    revocationsTask(store.revocationJobs, clock, logger),
    crlsTask({ ...hierarchy, producer, refreshPercent: options.crlRefreshPercent }),
    ocspSignersTask({
      fetch: () => fetchSignerRequests(options.statusInternalUrl, options.enrolmentSecret,
        (ca) => logger.error({ ca }, 'an OCSP signer request without the right HMAC was refused')),
      authorities: store.authorities, profiles: store.profiles, batches: store.batches, principals: store.principals,
      profile, clock, logger, everyMs,
    }),
    crlWatchTask({
      ...hierarchy,
      ...(options.fsck === undefined ? {} : { served: statusSite(options.fsck.statusUrl), beat: (figures) => store.heartbeats.beat('crl-watch', 'crl-watch', figures) }),
    }),
    ...(options.filterHours === undefined || options.filterHours === 0 ? []
      : [filtersTask({ authorities: store.authorities, filters: store.filters, producer, clock, logger, hours: options.filterHours, everyMs })]),
    switchOverTask(hierarchy),
    retireTask(hierarchy),
    truststoresTask({ ...hierarchy, truststores: store.truststores }),
    renewalTask(store.certificates, options.renewalWindowDays, everyMs, clock, logger),
    partitionsTask(store.archive, clock, logger),
    ...(options.archive === undefined ? [] : [archiveTask(store.archive, options.archive, clock, logger)]),
    ...copiesTasks(options, clock, everyMs),
    ...(options.fsck === undefined ? [] : [fsckTaskOf(options, options.fsck, clock, everyMs)]),
  ];
}

function copiesTasks({ copies = {}, store, logger }: WorkerOptions, clock: Clock, everyMs: number): readonly Task[] {
  const targets = copyTargets(copies, clock);
  const beat = (target: string, figures: Readonly<Record<string, number>>): Promise<void> => store.heartbeats.beat(`copies-${target}`, 'copies', figures);
  return targets.length === 0 ? [] : [copiesTask({ published: store.published, targets, beat, clock, logger, everyMs })];
}

function fsckTaskOf(
  { store, logger, crlRefreshPercent }: WorkerOptions, { ledgerKey, statusUrl, hour }: NonNullable<WorkerOptions['fsck']>, clock: Clock, everyMs: number,
): Task {
  const published = statusSite(statusUrl);
  return fsckTask({
    inspect: (signal) => inspect({ ledger: store.inspection, ledgerKey, published }, { signal, crlRefreshPercent }),
    inspections: store.inspections, hour, clock, logger, everyMs,
  });
}
