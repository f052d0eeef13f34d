import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { startStatus } from '../../apps/status/src/start.ts';
import { ask, compareGetWithPost } from '../support/ocsp-equality.ts';
import { type OcspNginx, ocspWays, startOcspNginx } from '../support/ocsp-nginx.ts';
import { newSerial, type OcspPlant, startOcspPlant } from '../support/ocsp-plant.ts';
import { ocspRequest } from '../support/ocsp-request.ts';
import { until } from '../support/product.ts';

// GET against POST (I18), and an HTTP cache, with nginx before the responder. The long form: sh scripts/ocsp-get-post.sh 10000.

const COUNT = 600;
let plant: OcspPlant;
let nginx: OcspNginx;

beforeAll(async () => {
  plant = await startOcspPlant(startStatus, { unknownPerSecond: 1_000_000 });
  nginx = await startOcspNginx(plant.url);
  const anyone = ocspRequest([{ issuer: plant.ca.made.certificate, serial: newSerial() }]);
  await until(async () => (await ask(plant.url, '/ocsp', anyone)).octets.length > 100, 10_000, () => plant.lines.join(''));
});
afterAll(async () => {
  await nginx?.stop();
  await plant?.close();
});

test(`${COUNT} random serials and nonces: GET says what POST says, through each way of nginx`, async () => {
  const { compared, slashes, differences } = await compareGetWithPost(plant, nginx, ocspWays.filter((way) => way !== 'normalised'), COUNT);
  expect(differences).toEqual([]);
  expect(compared).toBe(2 * COUNT);
  expect(slashes, 'requests with two slashes in a row').toBeGreaterThan(2);
});

describe('through an HTTP cache', () => {
  const path = (serial: Uint8Array, nonce?: Uint8Array): string => `/${encodeURIComponent(Buffer.from(ocspRequest([{ issuer: plant.ca.made.certificate, serial }], nonce)).toString('base64'))}`;
  const states = async (times: number, of: string): Promise<unknown[]> => {
    const all: unknown[] = [];
    for (let i = 0; i < times; i++) all.push((await ask(nginx.urls.cached, of)).headers['x-cache']);
    return all;
  };
  it('what everybody gets is fetched once', async () => {
    const { serial } = await plant.issue();
    expect(await states(3, path(serial))).toEqual(['MISS', 'HIT', 'HIT']);
    expect((await ask(nginx.urls.cached, path(serial))).octets).toEqual((await ask(plant.url, `/ocsp${path(serial)}`)).octets);
  });
  test.each<[string, () => string]>([
    ['a nonce', () => path(newSerial(), randomBytes(16))], ['a serial that is not on record', () => path(newSerial())], ['an error', () => '/MAA='],
  ])('the answer to %s is never kept', async (_, of) => expect(await states(2, of())).toEqual(['MISS', 'MISS']));
});

it('a path that nginx has squeezed is malformed at worst, and only where it cannot be told what it lacks', async () => {
  const { compared, slashes, differences } = await compareGetWithPost(plant, nginx, ['normalised'], 400);
  for (const { request, get } of differences) {
    expect(request).toContain('//');
    expect(get).toMatch(/^30030a0101(?: |$)/);
  }
  expect(compared).toBe(800);
  expect(differences.length, 'some were mended').toBeLessThan(2 * slashes);
});
