import { defineConfig } from 'vitest/config';

// Tests run against the sources of the libs, not their build: `fleetroot-source` is a condition of their exports.
const conditions = ['fleetroot-source'];
const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
};

export default defineConfig({
  ...shared,
  test: {
    projects: [
      // Pure: no process, no network, milliseconds.
      { ...shared, test: { name: 'unit', include: ['libs/**/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'test/bench/**/*.test.ts'], server: { deps: { inline: [/@fleetroot\//] } } } },
      // Real parts (PostgreSQL, SoftHSM, openssl), each test file with its own on free ports.
      { ...shared, test: { name: 'integration', include: ['test/integration/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, maxWorkers: 2, server: { deps: { inline: [/@fleetroot\//] } } } },
      // Through the public face: the whole product started as a user starts it.
      { ...shared, test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 300_000, maxWorkers: 1, fileParallelism: false, server: { deps: { inline: [/@fleetroot\//] } } } },
    ],
  },
});
