// Gives package-lock.json an entry for each platform package that the registry did not serve when the file was made (a
// mirror may carry Linux only). Without them `npm ci` calls the lock file out of step, on every machine. Such an entry
// has no hash: npm never installs it here, since Fleetroot runs on Linux alone. Run after each `npm install`;
// `--check` fails instead of mending.
import { readFileSync, writeFileSync } from 'node:fs';

const PLATFORM = /(?:^|[-/])(android|darwin|freebsd|linux|openharmony|win32)-(arm64|arm|x64|ia32|ppc64|riscv64|s390x)(?:-(eabi|gnu|gnueabihf|musl|musleabihf|msvc))?$/;
const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const missing = [];

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const platform = PLATFORM.exec(name);
    const path = `node_modules/${name}`;
    if (platform === null || Object.keys(lock.packages).some((known) => known.endsWith(path))) continue;
    missing.push(`${name}@${version}`);
    const [, os, cpu, abi = ''] = platform;
    lock.packages[path] = {
      version,
      cpu: [cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(os === 'linux' && abi !== '' ? { libc: [abi.startsWith('musl') ? 'musl' : 'glibc'] } : {}),
      optional: true,
      os: [os],
    };
  }
}

if (missing.length > 0 && process.argv.includes('--check')) {
  console.error(`package-lock.json lacks ${missing.join(', ')}. Run: node scripts/complete-lock.mjs`);
  process.exit(1);
}
if (missing.length > 0) {
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
console.log(`platform packages added to package-lock.json: ${missing.length}`);
