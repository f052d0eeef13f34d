import 'reflect-metadata';
import { readConfig } from '@fleetroot/config';
import { createLogger, runProcess } from '@fleetroot/telemetry';
import { apiSettings, startApi } from './start.ts';

await runProcess('api', async () => {
  const config = readConfig(apiSettings);
  return startApi(config, createLogger({ role: 'api', level: config.logLevel }));
});
