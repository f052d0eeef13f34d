import { expect, it } from 'vitest';
import { PostgresRevocationFeed } from '../src/status/revocation-feed.ts';

it.each<[string, string]>([
  ['12/0aff', '12/0aff'], ['12/*', '12/*'], ['12/', 'gap'], ['12/0af', 'gap'], ['12/0AFF', 'gap'], ['*/0a', 'gap'], ['12/0a/0b', 'gap'], ['', 'gap'], ['12/**', 'gap'],
])('a notification %j tells %s: what nobody understands may be anything', (payload, expected) => {
  const told: string[] = [];
  let wake: (payload: string) => void = () => undefined;
  const feed = new PostgresRevocationFeed({ query: async () => [] }, { subscribe: (_, hear) => { wake = hear; return () => undefined; } });
  feed.listen((caId, serial) => told.push(`${caId}/${serial ?? '*'}`), () => told.push('gap'));
  wake(payload);
  expect(told).toEqual([expected]);
});
