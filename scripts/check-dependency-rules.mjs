// Cruises the project, which must be clean, and the planted tree, in which every rule named here must be broken.
import { cruise } from 'dependency-cruiser';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const rules = createRequire(import.meta.url)('../.dependency-cruiser.cjs');
const PLANTED = [
  'layer-core', 'layer-store', 'layer-protocols-ocsp', 'no-cycle', 'no-lib-to-app', 'no-app-to-app', 'through-exports',
  'only-hsm-imports-graphene-pk11-pkcs11js', 'only-store-imports-prisma-pg-pg-copy-streams',
  'only-the-issuer-and-bring-up-open-the-ca-token',
];

async function violations(baseDir) {
  const { output } = await cruise(['libs', 'apps'], { ...rules.options, baseDir, ruleSet: rules, validate: true }, rules.options.enhancedResolveOptions);
  return { modules: output.summary.totalCruised, found: output.summary.violations };
}

const root = fileURLToPath(new URL('..', import.meta.url));
const planted = await violations(`${root}test/fixtures/dependency-rules`);
const names = new Set(planted.found.map((violation) => violation.rule.name));
const missed = PLANTED.filter((name) => !names.has(name));
if (missed.length > 0) {
  console.error(`The dependency check missed planted violations of: ${missed.join(', ')}`);
  process.exit(1);
}

const { modules, found } = await violations(root);
for (const { rule, from, to } of found) console.error(`${rule.name}: ${from} -> ${to}`);
if (found.length > 0) process.exit(1);
console.log(`dependency rules: ${modules} modules clean, ${PLANTED.length} planted violations found`);
