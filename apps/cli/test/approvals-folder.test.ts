import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeRequest } from '../src/ceremony/approvals-folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-approvals-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const spkiDer = new Uint8Array(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }));
const sha256 = 'ab'.repeat(32);
const dryRun = (...names: string[]) => ({ title: 'A test', sha256, approvals: 1, officers: names.map((name) => ({ name, spkiDer })), text: 'A test\n' });

it.each([
  [['Zoë Smith', 'bob']], [['a b', 'a-b', 'a-b-1', 'a-b-2']], [['ALICE A', 'alice a.']], [['警'.repeat(64), `${'警'.repeat(63)}察`]], [['🙂', '🙃', '-']],
])('has a statement of its own for each of %j', (names) => {
  const statements = writeRequest(folder, dryRun(...names));
  // A stick may not tell capitals from small letters.
  expect(new Set(statements.map((path) => path.toLowerCase())).size).toBe(names.length);
  statements.forEach((path, i) => expect(readFileSync(path, 'utf8')).toContain(`\nOfficer:  ${names[i]}\n`));
});

it('is not written through a link', () => {
  const mine = join(folder, 'mine');
  writeFileSync(mine, 'mine');
  symlinkSync(mine, join(folder, `${sha256}.txt.${process.pid}.new`));
  symlinkSync(mine, join(folder, `${sha256}.txt`));
  writeRequest(folder, dryRun('alice'));
  expect(readFileSync(mine, 'utf8')).toBe('mine');
});
