import 'reflect-metadata';
import { readProfileFolder } from '@fleetroot/authority';
import { readConfig } from '@fleetroot/config';
import { LedgerKey, PkiError } from '@fleetroot/core';
import { queueOptions } from '@fleetroot/queue';
import { openStore } from '@fleetroot/store';
import { createLogger, runProcess } from '@fleetroot/telemetry';
import { startWorker } from './start.ts';
import { archiveRule } from './tasks/archive.ts';
import { copyRule } from './tasks/copies.ts';

await runProcess('worker', async () => {
  const config = readConfig([
    'logLevel', 'databaseUrl', 'databasePool', 'ledgerKey', 'queueBackend', 'redisUrl', 'profilesDir', 'statusPublicUrl',
    'statusInternalUrl', 'statusEnrolmentSecret', 'staleAfterMs', 'crlRefreshPercent', 'filterHours', 'renewalWindowDays', 'scheduleSeconds', 'archiveAfterDays', 'archiveDir',
    'fsckHour', 'copyDir', 'copyS3Endpoint', 'copyS3Bucket', 'copyS3Region', 'copyS3Prefix', 'copyS3AccessKeyId', 'copyS3SecretAccessKey',
  ]);
  const profiles = readProfileFolder(config.profilesDir, { statusUrl: config.statusPublicUrl });
  const queue = queueOptions(config);
  if (config.fsckHour > 23) throw new PkiError('config.invalid', 'FLEETROOT_FSCK_HOUR must be 0 to 23 (see docs/operations.md)');
  const ledgerKey = new LedgerKey(config.ledgerKey);
  const store = await openStore({ databaseUrl: config.databaseUrl, ledgerKey, pool: config.databasePool });
  return startWorker({
    logger: createLogger({ role: 'worker', level: config.logLevel }),
    store, queue, profiles,
    statusInternalUrl: config.statusInternalUrl,
    enrolmentSecret: config.statusEnrolmentSecret,
    staleAfterMs: config.staleAfterMs,
    crlRefreshPercent: config.crlRefreshPercent,
    filterHours: config.filterHours,
    renewalWindowDays: config.renewalWindowDays,
    scheduleSeconds: config.scheduleSeconds,
    copies: copyRule(config),
    archive: archiveRule(config.archiveAfterDays, config.archiveDir),
    fsck: { ledgerKey, statusUrl: config.statusPublicUrl, hour: config.fsckHour },
  });
});
