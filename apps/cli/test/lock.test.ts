import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockHolder, takeLock } from '../src/data-dir/lock.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fleetroot-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('is held until it is given back', () => {
  const release = takeLock(path);
  expect(lockHolder(path)).toBe(process.pid);
  expect(() => takeLock(path)).toThrow(`process ${process.pid}`);
  release();
  expect(lockHolder(path)).toBeUndefined();
  takeLock(path)();
});

it.each([
  { dead: 'a process that is gone', content: '4194305 1' },
  { dead: 'another process that got the same id', content: `${process.pid} 1` },
  { dead: 'a lock cut short by a crash', content: '' },
])('takes over the lock of $dead', ({ content }) => {
  writeFileSync(path, content);
  expect(lockHolder(path)).toBeUndefined();
  const release = takeLock(path);
  expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+$`));
  release();
});

it('says so where the lock cannot be read, and does not wait for ever', () => {
  mkdirSync(path);
  expect(() => takeLock(path)).toThrow('EISDIR');
});

it('does not give back what somebody else holds by now', () => {
  const release = takeLock(path);
  writeFileSync(path, '1 1');
  release();
  expect(readFileSync(path, 'utf8')).toBe('1 1');
});
