import { createHash, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';

const NDJSON = { 'content-type': 'application/x-ndjson' };
const ZERO = '00'.repeat(32);

let plant: ApiPlant;
let csr: string;
beforeAll(async () => {
  plant = await startApiPlant();
  csr = await p256Csr();
});
afterAll(() => plant?.close());

type Holder = 'line' | 'line-2' | 'admin' | 'auditor';
let count = 0;
const lines = (n: number): string[] => Array.from({ length: n }, () => JSON.stringify({ ecuSerial: `UP-${++count}`, partNumber: 'PN-1', csr }));
const text = (some: readonly string[], end = '\n'): string => some.map((line) => line + end).join('');

/** The contract's digest, written down anew. */
function digestOf(sent: readonly string[]): string {
  let digest: Buffer = Buffer.alloc(32);
  for (const line of sent) digest = createHash('sha256').update(Buffer.concat([digest, createHash('sha256').update(line).digest()])).digest();
  return digest.toString('hex');
}

const open = (key: string = randomUUID(), body: object = { profile: 'ecu-client' }, holder: Holder = 'line') => plant.json('POST', '/v1/uploads', holder, body, { 'idempotency-key': key });
const accept = (id: string, items: number, digest: string, holder: Holder = 'line') => plant.json('POST', `/v1/uploads/${id}/accept`, holder, { items, digest });

async function part(id: string, from: number | string, body: string, holder: Holder = 'line') {
  const response = await plant.fetch('PATCH', `/v1/uploads/${id}?from=${from}`, holder, { headers: NDJSON, body });
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, body: (await response.json()) as any };
}

describe('an upload', () => {
  it('is sent in parts, whatever their line ends, accepted once, and is a batch from then on', async () => {
    const key = randomUUID();
    const opened = await open(key);
    expect(opened).toMatchObject({ status: 201, body: { received: 0, digest: ZERO, state: 'receiving' } });
    const { id } = opened.body;
    expect(opened.headers.get('location')).toBe(`/v1/uploads/${id}`);
    expect(new Date(opened.body.expiresAt).getTime() - Date.now()).toBeGreaterThan(86_400_000 - 60_000);
    const sent = lines(130);
    sent[60] = JSON.stringify({ ecuSerial: 'UP-BAD', partNumber: 'PN-1', vin: 'no', csr });
    expect(await part(id, 0, text(sent.slice(0, 70)))).toMatchObject({ status: 200, body: { id, received: 70, digest: digestOf(sent.slice(0, 70)), state: 'receiving' } });
    expect(await part(id, 70, '')).toMatchObject({ status: 200, body: { received: 70 } });
    expect(await part(id, 70, `\r\n\n${text(sent.slice(70), '\r\n').trimEnd()}`)).toMatchObject({ status: 200, body: { received: 130, digest: digestOf(sent) } });
    expect(await open(key)).toMatchObject({ status: 200, body: { id, received: 130 } });

    const done = await accept(id, 130, digestOf(sent));
    expect(done).toMatchObject({ status: 202, body: { id, state: 'accepted', items: 130, failed: 1, pending: 129, failures: { 'vin.invalid': 1 } } });
    expect(done.headers.get('location')).toBe(`/v1/batches/${id}`);
    expect(await accept(id, 130, digestOf(sent))).toMatchObject({ status: 200, body: { id } });
    expect(await accept(id, 130, ZERO)).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    expect(await open(key)).toMatchObject({ status: 200, body: { id, received: 130, state: 'accepted', expiresAt: null } });
    expect(await part(id, 130, text(lines(1)))).toMatchObject({ status: 409, body: { code: 'upload.accepted' } });
    expect(await part(id, 5, text(lines(1)))).toMatchObject({ status: 409, body: { code: 'upload.offset', received: 130 } });
    expect(await plant.json('DELETE', `/v1/uploads/${id}`, 'line')).toMatchObject({ status: 409, body: { code: 'upload.accepted' } });
    const told = await (await plant.fetch('GET', '/v1/audit', 'auditor')).text();
    expect(told.match(new RegExp(`batch.accepted[^\\n]*batch:${id}`, 'g'))).toHaveLength(1);
  });

  it('takes a part from where it stands alone, and is accepted as what was received alone', async () => {
    const { body: { id } } = await open();
    const sent = lines(60);
    await part(id, 0, text(sent.slice(0, 50)));
    for (const from of [0, 49, 51, 60]) {
      expect(await part(id, from, text(sent.slice(50)))).toMatchObject({ status: 409, body: { code: 'upload.offset', received: 50 } });
    }
    for (const [items, digest] of [[60, digestOf(sent)], [50, digestOf(sent)], [50, ZERO], [49, digestOf(sent.slice(0, 49))], [0, ZERO]] as const) {
      expect(await accept(id, items, digest)).toMatchObject({ status: 409, body: { code: 'upload.incomplete', received: 50 } });
    }
    expect((await part(id, 50, text(sent.slice(50)))).status).toBe(200);
    expect((await accept(id, 60, digestOf(sent))).status).toBe(202);
  });

  it('lets one of two senders through, and stores nothing twice', async () => {
    const { body: { id } } = await open();
    const sent = lines(200);
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => part(id, 0, text(sent))));
    const through = outcomes.filter(({ status }) => status === 200);
    const refused = outcomes.filter(({ status }) => status === 409);
    expect([through.length + refused.length, refused.every(({ body }) => body.code === 'upload.offset')]).toEqual([4, true]);
    // All may have been beaten at different chunks: whoever asks where it stands goes on.
    const { body: stands } = await plant.json('GET', `/v1/uploads/${id}`, 'line');
    if (stands.received < 200) await part(id, stands.received, text(sent.slice(stands.received)));
    expect(await accept(id, 200, digestOf(sent))).toMatchObject({ status: 202, body: { items: 200, pending: 200 } });
  });

  it('keeps the whole chunks of a part that breaks off, and goes on from there', async () => {
    const { body: { id } } = await open();
    const sent = lines(180);
    const socket = connect(plant.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`PATCH /v1/uploads/${id}?from=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${plant.token('line')}\r\ncontent-type: application/x-ndjson\r\ncontent-length: 10000000\r\n\r\n${text(sent.slice(0, 170))}{"cut`);
    const received = async () => (await plant.json('GET', `/v1/uploads/${id}`, 'line')).body;
    await expect.poll(async () => (await received()).received).toBe(150);
    socket.destroy();
    // The broken part's process has let go of it, or loses the race for the next chunk: both end well.
    expect(await received()).toMatchObject({ received: 150, digest: digestOf(sent.slice(0, 150)) });
    expect(await part(id, 150, text(sent.slice(150)))).toMatchObject({ status: 200, body: { received: 180 } });
    expect(await accept(id, 180, digestOf(sent))).toMatchObject({ status: 202, body: { items: 180 } });
  });

  test.each([
    ['is not JSON', 'oops', 400, 'batch.line-invalid'],
    ['lacks the csr', '{"ecuSerial":"E1"}', 400, 'batch.line-invalid'],
    ['is too long', `{"csr":"${'A'.repeat(140_000)}"}`, 413, 'batch.line-too-large'],
  ])('with a line that %s ends the part before its chunk, and can be mended', async (_, bad, status, code) => {
    const { body: { id } } = await open();
    const sent = lines(60);
    expect(await part(id, 0, text([...sent, bad]))).toMatchObject({ status, body: { code, line: 61 } });
    const { body: { received } } = await plant.json('GET', `/v1/uploads/${id}`, 'line');
    expect(received).toBe(50);
    expect((await part(id, 50, text(sent.slice(50)))).status).toBe(200);
    expect((await accept(id, 60, digestOf(sent))).status).toBe(202);
  });

  it('has a bounded number of items, over all its parts', async () => {
    const { body: { id } } = await open();
    const many = text(lines(1)).repeat(1990);
    expect((await part(id, 0, many)).body).toMatchObject({ received: 1990 });
    expect(await part(id, 1990, text(lines(1)).repeat(11))).toMatchObject({ status: 413, body: { code: 'batch.too-many-items', limit: 2000 } });
    expect((await part(id, 1990, text(lines(1)).repeat(10))).body).toMatchObject({ received: 2000 });
  });

  it('can be discarded before it is accepted; its key is free then, and it is not accepted empty', async () => {
    const key = randomUUID();
    const { body: { id } } = await open(key);
    await part(id, 0, text(lines(60)));
    expect((await plant.fetch('DELETE', `/v1/uploads/${id}`, 'line')).status).toBe(204);
    for (const [method, path] of [['GET', ''], ['DELETE', ''], ['PATCH', '?from=0']] as const) {
      const response = await plant.fetch(method, `/v1/uploads/${id}${path}`, 'line', method === 'PATCH' ? { headers: NDJSON, body: '' } : {});
      expect([response.status, (await response.json() as { code: string }).code]).toEqual([404, 'batch.not-found']);
    }
    const again = await open(key);
    expect(again).toMatchObject({ status: 201, body: { received: 0 } });
    expect(await accept(again.body.id, 0, ZERO)).toMatchObject({ status: 400, body: { code: 'batch.empty' } });
    expect((await plant.json('POST', `/v1/batches/${again.body.id}/cancel`, 'line')).body).toMatchObject({ state: 'receiving', cancelledAt: expect.any(String) });
    expect((await plant.fetch('GET', `/v1/uploads/${again.body.id}`, 'line')).status).toBe(404);
  });

  it('is bound to its key: another profile, CA or batch to send again is a conflict, and so is a batch that is no upload (I5)', async () => {
    const first = await open('bound');
    expect(await open('bound')).toMatchObject({ status: 200, body: first.body });
    expect(await open('bound', { profile: 'ecu-client', ca: 'ecu-issuing' })).toMatchObject({ status: 200 });
    const earlier = await open();
    await part(earlier.body.id, 0, text(lines(1)));
    for (const other of [{ profile: 'ecu-client-vin' }, { profile: 'ecu-client', resendOf: earlier.body.id }]) {
      expect(await open('bound', other)).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    }
    const stream = (key: string) => plant.fetch('POST', '/v1/batches?profile=ecu-client', 'line', { headers: { ...NDJSON, 'idempotency-key': key }, body: text(lines(1)) });
    expect((await stream('bound')).status).toBe(409);
    expect((await stream('streamed')).status).toBe(202);
    expect(await open('streamed')).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
    expect((await open('bound', { profile: 'ecu-client' }, 'admin')).body.id).not.toBe(first.body.id);
  });

  it('is nobody else\'s (I32)', async () => {
    const { body: { id } } = await open();
    for (const [method, path, body] of [['GET', '', undefined], ['DELETE', '', undefined], ['POST', '/accept', { items: 0, digest: ZERO }]] as const) {
      expect(await plant.json(method, `/v1/uploads/${id}${path}`, 'line-2', body)).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
    }
    expect(await part(id, 0, text(lines(1)), 'line-2')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
    // An operator sees it and may discard it, but sends nothing in another's name.
    expect(await part(id, 0, text(lines(1)), 'admin')).toMatchObject({ status: 404 });
    for (const holder of ['auditor', 'admin'] as const) expect((await plant.fetch('GET', `/v1/uploads/${id}`, holder)).status).toBe(200);
    expect((await plant.fetch('DELETE', `/v1/uploads/${id}`, 'admin')).status).toBe(204);
    for (const wrong of ['x', randomUUID(), '%27']) expect((await plant.fetch('GET', `/v1/uploads/${wrong}`, 'line')).status).toBe(404);
  });

  test.each<[string, () => Promise<{ status: number; body: { code: string } }>, number, string]>([
    ['no key', () => plant.json('POST', '/v1/uploads', 'line', { profile: 'ecu-client' }), 400, 'idempotency.key-invalid'],
    ['an unknown profile', () => open(undefined, { profile: 'x' }), 404, 'profile.not-found'],
    ['a profile for others', () => open(undefined, { profile: 'gateway-server' }), 403, 'profile.forbidden'],
    ['a CA for others', () => open(undefined, { profile: 'ecu-client', ca: 'fleetroot-dev-root' }), 403, 'ca.forbidden'],
    ['a batch to send again that is none', () => open(undefined, { profile: 'ecu-client', resendOf: randomUUID() }), 404, 'batch.not-found'],
    ['another field', () => open(undefined, { profile: 'ecu-client', items: [] }), 400, 'http.body-invalid'],
    ['a place that is none', async () => part((await open()).body.id, 'x', text(lines(1))), 400, 'http.query-invalid'],
    ['a place before all', async () => part((await open()).body.id, '-1', text(lines(1))), 400, 'http.query-invalid'],
    ['a digest that is none', async () => accept((await open()).body.id, 0, 'x'), 400, 'http.body-invalid'],
    ['a part in JSON', async () => plant.json('PATCH', `/v1/uploads/${(await open()).body.id}?from=0`, 'line', { csr }), 415, 'http.media-type'],
  ])('%s is refused', async (_, call, status, code) => {
    expect(await call()).toMatchObject({ status, body: { code } });
  });
});
