import { describe, expect, it, vi } from 'vitest';
import { isPkiError, PkiError } from '@fleetroot/core';
import { createLogger } from '@fleetroot/telemetry';
import { archiveRule, archiveTask } from '../src/tasks/archive.ts';

const code = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return isPkiError(error) ? error.code : String(error);
  }
};

describe('the rule of what is archived', () => {
  it.each([
    [0, undefined, undefined], [0, '/a', undefined], [30, '/a', { folder: '/a', afterDays: 30 }],
    [30, undefined, 'config.invalid'], [-1, '/a', 'config.invalid'], [1.5, '/a', 'config.invalid'],
  ])('%s days into %s: %o', (days, folder, outcome) => {
    expect(code(() => archiveRule(days, folder))).toEqual(outcome);
  });

  const now = new Date('2026-11-22T00:00:00Z');
  const task = (run: () => Promise<never>) => {
    const spy = vi.fn(run);
    return { spy, task: archiveTask({ run: spy }, { folder: '/a', afterDays: 10 }, { now: () => now }, createLogger({ role: 'worker', level: 'silent' })) };
  };

  it('takes what expired so many days ago, and lets a command that does it have its way', async () => {
    const busy = task(() => Promise.reject(new PkiError('archive.busy')));
    await busy.task.run(new AbortController().signal);
    expect(busy.spy.mock.calls[0]).toMatchObject([{ folder: '/a', before: new Date('2026-11-12T00:00:00Z'), now, actor: 'system:worker' }]);
    await expect(task(() => Promise.reject(new PkiError('archive.damaged'))).task.run(new AbortController().signal)).rejects.toMatchObject({ code: 'archive.damaged' });
  });
});
