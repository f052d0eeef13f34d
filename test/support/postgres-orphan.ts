import { startEmbeddedPostgres } from '@fleetroot/store';

// A parent that a test kills: starts PostgreSQL in the folder of its first argument, and tells its process id.
const postgres = await startEmbeddedPostgres({ dataDir: process.argv[2] ?? '', onNotice: () => undefined });
process.send?.(postgres.pid);
setInterval(() => undefined, 1000);
