import 'reflect-metadata';
import { getPriority, setPriority } from 'node:os';
import { signingPurposes } from '@fleetroot/authority';
import { readConfig } from '@fleetroot/config';
import { PkiError } from '@fleetroot/core';
import { readShares } from '@fleetroot/hsm';
import type { QueueOptions } from '@fleetroot/queue';
import { createLogger, runProcess } from '@fleetroot/telemetry';
import { readBlockedKeys } from '@fleetroot/x509';
import { startIssuer } from './start.ts';

await runProcess('issuer', async (control) => {
  const config = readConfig([
    'logLevel', 'databaseUrl', 'databasePool', 'ledgerKey', 'queueBackend', 'redisUrl', 'hsmModule', 'caTokenLabel', 'caTokenPin',
    'hsmDeadlineMs', 'hsmSessionCopies', 'hsmSessions', 'hsmPatienceMs', 'hsmProbeSeconds', 'hsmShares', 'issuerConcurrency',
    'issuerNiceness', 'staleAfterMs', 'crlLifetimeMinutes', 'crlDeltaMinutes', 'crlRefreshPercent', 'statusPublicUrl', 'filterHours', 'keyBlocklist',
  ]);
  // The processes that drive the HSM inherit it. Whoever was started nicer than that may not take it back.
  if (config.issuerNiceness > 19) throw new PkiError('config.invalid', 'FLEETROOT_ISSUER_NICENESS must be 0 to 19');
  setPriority(Math.max(getPriority(), config.issuerNiceness));
  return startIssuer({
    logger: createLogger({ role: 'issuer', level: config.logLevel }),
    databaseUrl: config.databaseUrl,
    pool: config.databasePool,
    ledgerKey: config.ledgerKey,
    queue: queueOf(config),
    token: {
      module: config.hsmModule, tokenLabel: config.caTokenLabel, pin: config.caTokenPin, deadlineMs: config.hsmDeadlineMs,
      sessionCopies: config.hsmSessionCopies === 'never' ? 'never' : 'try',
      sessions: Math.max(1, config.hsmSessions), patienceMs: config.hsmPatienceMs, probeMs: config.hsmProbeSeconds * 1000,
    },
    shares: readShares(config.hsmShares, signingPurposes),
    concurrency: config.issuerConcurrency,
    staleAfterMs: config.staleAfterMs,
    crlLifetimeMs: config.crlLifetimeMinutes * 60_000,
    crlDeltaLifetimeMs: config.crlDeltaMinutes * 60_000,
    crlRefreshPercent: config.crlRefreshPercent,
    statusUrl: config.statusPublicUrl,
    // Three times as long as until the next one: a vehicle may miss one, or be told late. Made on demand alone, as by the day.
    filterLifetimeMs: 3 * (config.filterHours || 24) * 3_600_000,
    blockedKeys: readBlockedKeys(config.keyBlocklist),
  }, control);
});

function queueOf(config: ReturnType<typeof readConfig<'queueBackend' | 'redisUrl' | 'databaseUrl'>>): QueueOptions {
  if (config.queueBackend !== 'redis') return { kind: 'postgres', databaseUrl: config.databaseUrl };
  if (config.redisUrl === undefined) {
    throw new PkiError('config.invalid', 'FLEETROOT_QUEUE is redis: set FLEETROOT_REDIS_URL_FILE (see docs/operations.md)');
  }
  return { kind: 'redis', url: config.redisUrl };
}
