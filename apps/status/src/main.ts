import 'reflect-metadata';
import { readConfig } from '@fleetroot/config';
import { createLogger, runProcess } from '@fleetroot/telemetry';
import { startStatus } from './start.ts';

await runProcess('status', async (control) => {
  const config = readConfig([
    'logLevel', 'statusDatabaseUrl', 'databasePool', 'statusListen', 'statusInternalListen', 'statusEnrolmentSecret',
    'ocspSignerRefreshPercent', 'ocspValidityMinutes', 'ocspMemoryMib', 'ocspUnknownPerSecond', 'statusCrlMemoryMb', 'hsmModule', 'ocspTokenLabel', 'ocspTokenPin',
    'hsmDeadlineMs', 'hsmSessionCopies',
  ]);
  return startStatus({
    logger: createLogger({ role: 'status', level: config.logLevel }),
    databaseUrl: config.statusDatabaseUrl,
    pool: config.databasePool,
    listen: config.statusListen,
    internalListen: config.statusInternalListen,
    enrolmentSecret: config.statusEnrolmentSecret,
    ocspSignerRefreshPercent: config.ocspSignerRefreshPercent,
    ocsp: { validityMinutes: config.ocspValidityMinutes, memoryMib: config.ocspMemoryMib, unknownPerSecond: config.ocspUnknownPerSecond },
    crlMemory: config.statusCrlMemoryMb * 2 ** 20,
    token: {
      module: config.hsmModule, tokenLabel: config.ocspTokenLabel, pin: config.ocspTokenPin, deadlineMs: config.hsmDeadlineMs,
      sessionCopies: config.hsmSessionCopies === 'never' ? 'never' : 'try',
    },
  }, control);
});
