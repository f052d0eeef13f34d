import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checks } from '../../src/fsck/catalogue.ts';
import { setChecks } from '../../src/ports/inspection.ts';

it('is the table of docs/fsck.md, word for word and in its order', () => {
  const page = readFileSync(new URL('../../../../docs/fsck.md', import.meta.url), 'utf8');
  const table = /<!-- checks:[^>]*-->\n([\s\S]*)<!-- \/checks -->/.exec(page)?.[1]?.trim().split('\n').slice(2);
  expect(table).toEqual(Object.entries(checks).map(([name, { invariant, holds, remedy }]) => `| ${invariant} | \`${name}\` | ${holds} | ${remedy} |`));
});

it('has every check that the database makes', () => {
  expect(setChecks.filter((name) => !(name in checks))).toEqual([]);
});
