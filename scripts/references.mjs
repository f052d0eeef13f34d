// Keeps each package's TypeScript project references equal to its package.json dependencies, so that the
// arrows between libs are written down once. `--check` fails on a difference instead of mending it.
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';

const check = process.argv.includes('--check');
const packages = globSync(['libs/*/package.json', 'libs/protocols/*/package.json', 'apps/*/package.json']).sort();
const folderOf = new Map(packages.map((path) => [JSON.parse(readFileSync(path, 'utf8')).name, dirname(path)]));
const wrong = [];

function write(path, value) {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  if (check) wrong.push(path);
  else writeFileSync(path, text);
}

for (const path of packages) {
  const folder = dirname(path);
  const { dependencies = {} } = JSON.parse(readFileSync(path, 'utf8'));
  const references = Object.keys(dependencies)
    .filter((name) => folderOf.has(name))
    .sort()
    .map((name) => ({ path: relative(folder, folderOf.get(name)) }));
  write(`${folder}/tsconfig.json`, {
    extends: relative(folder, 'tsconfig.base.json'),
    // What the incremental build remembers goes with its output.
    compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/tsconfig.tsbuildinfo' },
    include: ['src'],
    references,
  });
}
write('tsconfig.json', { files: [], references: packages.map((path) => ({ path: dirname(path) })) });

if (wrong.length > 0) {
  console.error(`Project references differ from package.json in: ${wrong.join(', ')}. Run: node scripts/references.mjs`);
  process.exit(1);
}
