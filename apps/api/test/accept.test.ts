import { expect, test } from 'vitest';
import { acceptable } from '../src/certificates/accept.ts';

const offers: [string, ...string[]] = ['application/json', 'application/x-pem-file', 'application/pkix-cert'];

test.each([
  [undefined, 'application/json'],
  ['', 'application/json'],
  ['*/*', 'application/json'],
  ['application/*', 'application/json'],
  ['application/pkix-cert', 'application/pkix-cert'],
  ['APPLICATION/X-PEM-FILE', 'application/x-pem-file'],
  ['application/json;q=0.1, application/pkix-cert', 'application/pkix-cert'],
  ['application/json;q=0, */*;q=0.5', 'application/x-pem-file'],
  ['text/html, application/xhtml+xml, */*;q=0.8', 'application/json'],
  ['text/html', 'http.not-acceptable'],
  ['application/json;q=0', 'http.not-acceptable'],
  ['application/json;q=nonsense', 'http.not-acceptable'],
])('%s gets %s', (accept, expected) => {
  let seen: string;
  try {
    seen = acceptable(accept, offers);
  } catch (error) {
    seen = (error as { code: string }).code;
  }
  expect(seen).toBe(expected);
});
