// docs/dependencies.md says of every package why it is here, and of no other.
import { globSync, readFileSync } from 'node:fs';

const used = new Set();
for (const path of globSync(['package.json', 'libs/*/package.json', 'libs/protocols/*/package.json', 'apps/*/package.json'])) {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readFileSync(path, 'utf8'));
  for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) used.add(name);
}
const page = readFileSync('docs/dependencies.md', 'utf8');
const told = new Set(page.split('\n').filter((line) => line.startsWith('| `')).flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1])));
const missing = [...used].filter((name) => !name.startsWith('@fleetroot/') && !told.has(name));
const stale = [...told].filter((name) => !used.has(name));
if (missing.length > 0) console.error(`docs/dependencies.md does not say why these are here: ${missing.join(', ')}`);
if (stale.length > 0) console.error(`docs/dependencies.md names packages that are not used: ${stale.join(', ')}`);
process.exit(missing.length + stale.length > 0 ? 1 : 0);
