// Writes the table of settings into docs/operations.md from libs/config, so that it is never wrong. `--check` fails on
// a difference instead.
import { readFileSync, writeFileSync } from 'node:fs';
import { settings } from '@fleetroot/config';

const path = new URL('../docs/operations.md', import.meta.url);
const [BEGIN, END] = ['<!-- settings: made by scripts/settings-table.mjs -->', '<!-- /settings -->'];

const rows = Object.values(settings).map((setting) => {
  const variable = setting.type.startsWith('secret') ? `${setting.variable}_FILE` : setting.variable;
  const fallback = setting.default === undefined ? (setting.optional ? 'not set' : '**must be set**') : `\`${setting.default}\``;
  const values = setting.values === undefined ? '' : ` (${setting.values.join(', ')})`;
  return `| \`${variable}\` | ${setting.meaning}${values} | ${fallback} |`;
});
const table = [BEGIN, '| variable | meaning | default |', '|---|---|---|', ...rows, END].join('\n');

const text = readFileSync(path, 'utf8');
const made = text.replace(new RegExp(`${BEGIN}[\\s\\S]*${END}`), () => table);
if (!made.includes(BEGIN)) throw new Error('docs/operations.md has lost the place of its settings table');
if (made !== text) {
  if (process.argv.includes('--check')) {
    console.error('docs/operations.md differs from libs/config. Run: npm run docs');
    process.exit(1);
  }
  writeFileSync(path, made);
}
