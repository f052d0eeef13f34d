// The layers of docs/architecture.md as rules: apps -> adapters and protocols -> domain -> x509 -> core.
const libs = (...names) => `^libs/(?:${names.join('|')})/`;
const domain = ['authority', 'fleet', 'trust', 'access', 'audit'];
const adapters = ['hsm', 'store', 'queue', 'config', 'telemetry'];
/** Which libs a lib may import; itself is always allowed. */
const mayImport = {
  core: [],
  audit: ['core'],
  x509: ['core'],
  authority: ['x509', 'core', 'audit'],
  fleet: ['x509', 'core', 'audit'],
  trust: ['x509', 'core', 'audit'],
  access: ['core', 'audit'],
  hsm: ['authority', 'x509', 'core'],
  store: [...domain, 'core'],
  queue: ['core'],
  config: ['core'],
  telemetry: ['core'],
  http: ['core', 'config', 'telemetry'],
  'protocols/filter': [...domain, 'x509', 'core'],
  'protocols/ocsp': [...domain, 'x509', 'core'],
};
/** A package that only some libs may import. */
const guarded = {
  'graphene-pk11|pkcs11js': ['hsm'],
  '@prisma|pg|pg-copy-streams': ['store'],
  bullmq: ['queue'],
  ioredis: ['queue'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
};

module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', comment: 'Arrows go one way.', from: {}, to: { circular: true } },
    {
      name: 'no-lib-to-app', severity: 'error', comment: 'A lib never knows an app.',
      from: { path: '^libs/' }, to: { path: '^apps/' },
    },
    {
      name: 'no-app-to-app', severity: 'error', comment: 'Apps meet through the ledger, the queue and HTTP.',
      from: { path: '^apps/([^/]+)/' }, to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'through-exports', severity: 'error', comment: "A lib's surface is its index; its files are its own.",
      from: { path: '^(libs/(?:protocols/)?[^/]+|apps/[^/]+)/' },
      to: { path: '^libs/(?:protocols/)?[^/]+/src/', pathNot: ['^$1/', '/src/index\\.ts$'] },
    },
    ...Object.entries(mayImport).map(([lib, allowed]) => ({
      name: `layer-${lib.replace('/', '-')}`, severity: 'error', comment: `libs/${lib} may import: ${allowed.join(', ') || 'nothing'}.`,
      from: { path: `^libs/${lib}/src/` },
      to: { path: '^libs/', pathNot: libs(lib, ...allowed) },
    })),
    ...Object.entries(guarded).map(([packages, allowed]) => ({
      name: `only-${allowed.join('-')}-imports-${packages.replaceAll(/[^a-z0-9]+/g, '-').replace(/^-/, '')}`, severity: 'error',
      comment: `${packages} is imported by libs/${allowed.join(', libs/')} alone.`,
      from: { path: '^(?:libs|apps)/', pathNot: libs(...allowed) },
      to: { path: `node_modules/(?:${packages})/` },
    })),
    {
      name: 'only-the-issuer-and-bring-up-open-the-ca-token', severity: 'error',
      comment: 'The api and the worker never open an HSM.',
      from: { path: '^apps/(?:api|worker)/' }, to: { path: '^libs/hsm/' },
    },
    {
      name: 'no-unlisted-package', severity: 'error', comment: 'Every import is in the package.json of its package.',
      from: { path: '^(?:libs|apps)/(?:protocols/)?[^/]+/src/' }, to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown'] },
    },
    {
      name: 'no-test-code-in-sources', severity: 'error', comment: 'Sources never import tests.',
      from: { path: '^(?:libs|apps)/.*/src/' }, to: { path: '^test/|/test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/dist/|/src/generated/' },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['fleetroot-source', 'import', 'require', 'node', 'default', 'types'],
      mainFields: ['module', 'main'],
    },
  },
};
