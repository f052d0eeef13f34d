import { describe, expect, it } from 'vitest';
import { delayMs, isPassing } from '../src/line/batch/patience.ts';
import { jsonReport } from '../src/line/batch/report.ts';
import { duration, Pace } from '../src/line/pace.ts';
import { ApiRefusal } from '../src/line/rest.ts';

describe('progress', () => {
  it('tells rate and time left of what is done now, not of what was done before', () => {
    const pace = new Pace(1_000, 400, 0);
    expect(pace.now(500)).toMatchObject({ done: 400, part: 0.4, perSecond: undefined, secondsLeft: undefined });
    expect(pace.at(500, 2_000)).toMatchObject({ perSecond: 50, secondsLeft: 10 });
    expect(pace.at(1_000, 12_000)).toMatchObject({ part: 1, perSecond: 50, secondsLeft: 0 });
  });

  it('forgets what is long ago: after a pause the rate is that of now', () => {
    const pace = new Pace(100_000, 0, 0);
    for (let second = 1; second <= 20; second++) pace.at(second * 100, second * 1_000);
    expect(pace.at(2_000, 80_000).perSecond).toBe(0);
    expect(pace.now(80_000).secondsLeft).toBeUndefined();
    for (let second = 81; second <= 110; second++) pace.at(2_000 + (second - 80) * 500, second * 1_000);
    expect(pace.now(110_000).perSecond).toBeCloseTo(500);
  });

  it('is not below nothing where what was sent did not arrive', () => {
    const pace = new Pace(1_000, 0, 0);
    pace.at(600, 1_000);
    expect(pace.at(250, 3_000)).toMatchObject({ done: 250, perSecond: 250 / 3 });
    const fallen = new Pace(1_000, 600, 0);
    expect(fallen.at(500, 3_000)).toMatchObject({ perSecond: 0, secondsLeft: undefined });
  });

  it.each([[0, '0 s'], [59.6, '1 min'], [60, '1 min'], [200, '3 min 20 s'], [3_600, '1 h'], [7_509, '2 h 5 min']])('%d seconds are %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it('says an object a line to machines, now and then and at the end', () => {
    const said: unknown[] = [];
    const report = jsonReport((line) => said.push(JSON.parse(line)));
    report.begin('sending', 10, 0);
    for (let done = 1; done <= 10; done++) report.at(done);
    report.say('for people', { event: 'accepted' });
    report.say('for people alone');
    expect(said).toEqual([
      { event: 'sending', done: 1, total: 10, ratePerSecond: null, secondsLeft: null },
      { event: 'sending', done: 10, total: 10, ratePerSecond: null, secondsLeft: 0 },
      { event: 'accepted' },
    ]);
  });
});

describe('patience', () => {
  it.each([
    { failures: 0, retryAfter: undefined, chance: 1, ms: 500 },
    { failures: 0, retryAfter: undefined, chance: 0, ms: 375 },
    { failures: 3, retryAfter: undefined, chance: 1, ms: 4_000 },
    { failures: 99, retryAfter: undefined, chance: 1, ms: 30_000 },
    { failures: 0, retryAfter: 5, chance: 0, ms: 5_000 },
    { failures: 0, retryAfter: 5, chance: 1, ms: 5_500 },
    { failures: 99, retryAfter: 1, chance: 1, ms: 30_000 },
  ])('waits $ms ms after $failures failures, asked for $retryAfter s', ({ failures, retryAfter, chance, ms }) => {
    expect(delayMs(failures, retryAfter, chance)).toBe(ms);
  });

  const answer = (status: number, code?: string): ApiRefusal => new ApiRefusal('GET /v1/here', status, JSON.stringify({ code }), undefined);
  it.each([
    { error: answer(503, 'store.unavailable'), passing: true },
    { error: answer(409, 'idempotency.in-progress'), passing: true },
    { error: answer(409, 'idempotency.conflict'), passing: false },
    { error: answer(401, 'auth.token-invalid'), passing: false },
    { error: answer(502), passing: true },
    { error: answer(404), passing: false },
    { error: Object.assign(new Error('reset'), { code: 'ECONNRESET' }), passing: true },
    { error: new TypeError('terminated', { cause: Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' }) }), passing: true },
    { error: new AggregateError([Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })]), passing: true },
    { error: Object.assign(new Error('full'), { code: 'ENOSPC' }), passing: false },
    { error: new TypeError('a fault of ours'), passing: false },
  ])('$error.message $error.status: $passing', ({ error, passing }) => {
    expect(isPassing(error)).toBe(passing);
  });
});
