import { randomUUID } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import type { SigningPurpose } from '@fleetroot/authority';
import { isPkiError, LedgerKey, type Secret, systemClock, systemRandom } from '@fleetroot/core';
import { openSigner, type SignerOptions } from '@fleetroot/hsm';
import type { QueueOptions } from '@fleetroot/queue';
import { openStore, type Store } from '@fleetroot/store';
import { type Logger, nestLogger, type ProcessControl, type Running } from '@fleetroot/telemetry';
import type { BlockedKeys } from '@fleetroot/x509';
import { CaKeys } from './ca-keys.ts';
import { issuerModule } from './issuer.module.ts';

export interface IssuerOptions {
  readonly logger: Logger;
  readonly databaseUrl: Secret;
  readonly pool: number;
  readonly ledgerKey: Uint8Array;
  readonly queue: QueueOptions;
  /** The CA token; the issuer is the only online process that holds its PIN. */
  readonly token: Omit<SignerOptions, 'keys' | 'onUnusableKey' | 'onState'>;
  /** What of the HSM each purpose is sure of, in percent. */
  readonly shares: Readonly<Record<SigningPurpose, number>>;
  readonly concurrency: number;
  readonly staleAfterMs: number;
  readonly crlLifetimeMs: number;
  readonly crlDeltaLifetimeMs: number;
  readonly crlRefreshPercent: number;
  /** Where CRLs are served. */
  readonly statusUrl: string;
  /** nextUpdate minus madeAt of a revocation filter; three days. */
  readonly filterLifetimeMs?: number;
  /** Absent: no key is blocked. */
  readonly blockedKeys?: BlockedKeys;
}

const DAY_MS = 86_400_000;
const HEARTBEAT_MS = 5000;
/** So late at most is a single request found of which no notification told. */
const SINGLES_MS = 1000;

/** A session signs one slice while the next one is on its way. */
const SLICES_A_SESSION = 2;

/**
 * Starts an issuer: on return the HSM has signed a self-test with every CA key that can be used, the others are in the
 * log, and jobs are taken.
 * @throws PkiError
 */
export async function startIssuer(options: IssuerOptions, control: ProcessControl): Promise<Running> {
  const { logger } = options;
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).toReversed()) await one();
  };
  try {
    const ledgerKey = new LedgerKey(options.ledgerKey);
    const store = await openStore({ databaseUrl: options.databaseUrl, ledgerKey, pool: options.pool });
    closing.push(() => store.close());
    const keys = caKeys(options, store, control);
    closing.push(() => keys.close());
    await keys.open();

    const instance = `issuer-${randomUUID()}`;
    const app = await NestFactory.createApplicationContext(issuerModule({
      issuance: {
        ledger: store.issuance, authorities: store.authorities, profiles: store.profiles, signer: keys, ledgerKey,
        clock: systemClock, random: systemRandom, staleAfterMs: options.staleAfterMs,
        ...(options.blockedKeys === undefined ? {} : { blockedKeys: options.blockedKeys }),
        observer: {
          chunkIssued: (chunk) => logger.info({ ...chunk, ms: Math.round(chunk.ms) }, 'chunk issued'),
          unexpected: (err, item) => logger.error({ err, chunk: String(item.chunkId), ordinal: item.ordinal }, 'item failed unexpectedly'),
        },
      },
      crls: {
        crls: store.crls, leases: store.leases, lifetimeMs: options.crlLifetimeMs, deltaLifetimeMs: options.crlDeltaLifetimeMs,
        refreshPercent: options.crlRefreshPercent, statusUrl: options.statusUrl,
      },
        filters: store.filters,
        filterLifetimeMs: options.filterLifetimeMs ?? 3 * DAY_MS,
      queue: options.queue,
      runner: { concurrency: options.concurrency, log: logger, onFatal: (error) => control.fail(error) },
      singles: { concurrency: options.concurrency, everyMs: SINGLES_MS, logger, onFatal: (error) => control.fail(error) },
      heartbeat: {
        keys, everyMs: HEARTBEAT_MS,
        beat: (figures) => store.heartbeats.beat(instance, 'issuer', figures),
        onError: (err) => {
          logger.warn({ err }, 'no heartbeat');
          if (isPkiError(err) && err.retry === 'stop') control.fail(err);
        },
      },
    }), { logger: nestLogger(logger), abortOnError: false });
    closing.push(() => {
      keys.endWaiting();
      return app.close();
    });
    return { close };
  } catch (error) {
    await close();
    throw error;
  }
}

function caKeys({ token, shares, logger }: IssuerOptions, { authorities }: Store, control: ProcessControl): CaKeys {
  return new CaKeys({
    authorities,
    open: (of) => openSigner({ ...token, ...of }),
    load: { shares, inFlight: SLICES_A_SESSION * (token.sessions ?? 1) },
    onUnusableKey: (err) => logger.error({ err }, 'a CA cannot sign'),
    onState: (state, err) => {
      if (state === 'away') logger.warn({ err }, 'the HSM is away');
      else if (err === undefined) logger.info('the HSM is back');
      else logger.warn({ err }, 'the HSM is back in part');
      // A refused PIN, chiefly: it is not given a second time.
      if (err?.code === 'hsm.pin-incorrect') control.fail(err);
    },
  });
}
