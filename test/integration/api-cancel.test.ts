import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ApiPlant, startApiPlant } from '../support/api-plant.ts';
import { p256Csr } from '../support/csr.ts';

const NDJSON = { 'content-type': 'application/x-ndjson' };
let plant: ApiPlant;
beforeAll(async () => {
  plant = await startApiPlant({ chunkItems: 5 });
});
afterAll(() => plant?.close());

type Line = { ordinal: number; outcome: string; code?: string; detail?: string; certificate?: string };
let count = 0;
const item = async (fields: object = {}): Promise<object> => ({ ecuSerial: `CAN-${++count}`, partNumber: 'PN-1', csr: await p256Csr(), ...fields });
const items = (n: number): Promise<object[]> => Promise.all(Array.from({ length: n }, () => item()));
const ndjson = (some: readonly object[]): string => some.map((one) => `${JSON.stringify(one)}\n`).join('');

async function submit(body: string, query = '', holder: 'line' | 'line-2' = 'line', key: string = randomUUID()) {
  const response = await plant.fetch('POST', `/v1/batches?profile=ecu-client${query}`, holder, { headers: { ...NDJSON, 'idempotency-key': key }, body });
  // oxlint-disable-next-line typescript/no-explicit-any
  return { status: response.status, body: (await response.json()) as any };
}

async function results(id: string, query = ''): Promise<Line[]> {
  const text = await (await plant.fetch('GET', `/v1/batches/${id}/certificates${query}`, 'line')).text();
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}

const cancel = (id: string, holder: 'line' | 'line-2' | 'admin' = 'line') => plant.json('POST', `/v1/batches/${id}/cancel`, holder);
const events = async (id: string): Promise<string[]> => (await (await plant.fetch('GET', '/v1/audit', 'auditor')).text()).split('\n')
  .filter((line) => line.includes(`batch:${id}`)).map((line) => (JSON.parse((JSON.parse(line) as { payload: string }).payload) as { action: string }).action);

/** Breaches of the sums that hold at every commit (I22), over everything there is. */
async function breaches(): Promise<unknown[]> {
  const client = new Client({ connectionString: plant.databaseUrl });
  await client.connect();
  try {
    return (await client.query(`
      SELECT c.id, 'sum' AS what FROM chunk c WHERE c.failed < (SELECT count(*) FROM failure f WHERE f.chunk_id = c.id)
        OR (c.refusal IS NULL AND c.failed <> (SELECT count(*) FROM failure f WHERE f.chunk_id = c.id))
        OR c.issued <> (SELECT count(*) FROM certificate x WHERE x.chunk_id = c.id)
      UNION ALL SELECT 0, 'batch ' || b.id FROM batch b WHERE b.state <> 'receiving'
        AND (b.state = 'done') <> NOT EXISTS (SELECT FROM chunk c WHERE c.batch_id = b.id AND c.state <> 'done')
      UNION ALL SELECT i.id, 'open intent' FROM intent i JOIN chunk c ON c.id = i.chunk_id WHERE i.state = 'open' AND c.state = 'done'`)).rows;
  } finally {
    await client.end();
  }
}

it('ends a batch that nobody has begun at once, and whoever waits for it', async () => {
  const { body } = await submit(ndjson([...await items(12), await item({ vin: 'no' }), ...await items(4)]));
  const streaming = results(body.id);
  const told = plant.fetch('GET', `/v1/batches/${body.id}/events`, 'line').then((response) => response.text());
  const answer = await cancel(body.id);
  expect(answer).toMatchObject({ status: 200, body: { id: body.id, state: 'done', items: 17, issued: 0, failed: 17, pending: 0, failures: { 'batch.cancelled': 16, 'vin.invalid': 1 } } });
  expect(answer.body.cancelledAt).toMatch(/Z$/);
  const lines = await streaming;
  expect(lines.map(({ ordinal, code }) => [ordinal, code])).toEqual(Array.from({ length: 17 }, (_, i) => [i, i === 12 ? 'vin.invalid' : 'batch.cancelled']));
  expect(lines[0]?.detail).toMatch(/cancelled/);
  expect(await told).toMatch(/event: done\ndata: .*"batch.cancelled":16/);
  // Again: nothing changes.
  expect(await cancel(body.id)).toMatchObject({ status: 200, body: answer.body });
  expect(await events(body.id)).toEqual(['batch.accepted', 'batch.cancelled']);
  expect(await breaches()).toEqual([]);
});

it('is for its owner and for operators (I32)', async () => {
  const { body } = await submit(ndjson(await items(1)));
  expect(await cancel(body.id, 'line-2')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
  expect(await cancel(randomUUID(), 'admin')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
  expect((await plant.fetch('POST', `/v1/batches/${body.id}/cancel`, 'auditor')).status).toBe(403);
  expect(await cancel(body.id, 'admin')).toMatchObject({ status: 200, body: { state: 'done' } });
});

it('discards a stream that is still coming in; its sender is told', async () => {
  const line = ndjson(await items(1));
  const socket = connect(plant.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => (answer += data.toString()));
  socket.on('error', () => undefined);
  const write = (text: string) => socket.write(`${text.length.toString(16)}\r\n${text}\r\n`);
  socket.write(`POST /v1/batches?profile=ecu-client HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${plant.token('line')}\r\ncontent-type: application/x-ndjson\r\nidempotency-key: half\r\ntransfer-encoding: chunked\r\n\r\n`);
  write(line.repeat(12));
  const receiving = async () => (await plant.json('GET', '/v1/batches?state=receiving', 'line')).body.items as { id: string; items: number }[];
  await expect.poll(receiving).toMatchObject([{ items: 10 }]);
  const [{ id } = { id: '' }] = await receiving();
  expect(await cancel(id)).toMatchObject({ status: 200, body: { id, state: 'receiving', cancelledAt: expect.any(String) } });
  expect((await plant.fetch('GET', `/v1/batches/${id}`, 'line')).status).toBe(404);
  write(line.repeat(12));
  await expect.poll(() => answer, { timeout: 5000 }).toMatch(/^HTTP\/1\.1 404 [\s\S]*batch\.not-found/);
  socket.destroy();
  expect(await events(id)).toEqual(['batch.cancelled']);
  expect((await submit(line, '', 'line', 'half')).status).toBe(202);
});

it('lets an issuer finish what it has in work, and stops the rest; certificates stay', async () => {
  const sent = await items(400);
  const { body } = await submit(ndjson(sent));
  await plant.startIssuer();
  await plant.ready();
  await expect.poll(async () => (await plant.json('GET', `/v1/batches/${body.id}`, 'line')).body.issued, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  const answers = await Promise.all([cancel(body.id), cancel(body.id), cancel(body.id, 'admin')]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  const lines = await results(body.id);
  expect(lines.map(({ ordinal }) => ordinal)).toEqual(sent.map((_, i) => i));
  const issued = lines.filter(({ outcome }) => outcome === 'issued');
  const stopped = lines.filter(({ code }) => code === 'batch.cancelled');
  expect(issued.length + stopped.length).toBe(400);
  expect(stopped.length).toBeGreaterThan(0);
  const { body: last } = await plant.json('GET', `/v1/batches/${body.id}`, 'line');
  expect(last).toMatchObject({ state: 'done', issued: issued.length, failed: stopped.length, pending: 0, failures: { 'batch.cancelled': stopped.length } });
  expect((await events(body.id)).filter((action) => action === 'batch.cancelled')).toHaveLength(1);
  expect(await breaches()).toEqual([]);
  // The failed ones alone, and the issued ones alone; then the failed ones again, as a batch that says so.
  expect((await results(body.id, '?outcome=failed')).map(({ ordinal }) => ordinal)).toEqual(stopped.map(({ ordinal }) => ordinal));
  expect((await results(body.id, `?outcome=issued&from=${issued.at(-1)?.ordinal ?? 0}`)).map(({ certificate }) => certificate)).toEqual([issued.at(-1)?.certificate]);
  const rest = ndjson(stopped.slice(0, 7).map(({ ordinal }) => sent[ordinal] ?? {}));
  const again = await submit(rest, `&resendOf=${body.id}`, 'line', 'resend');
  expect(again).toMatchObject({ status: 202, body: { resendOf: body.id, items: 7 } });
  expect((await results(again.body.id)).every(({ outcome }) => outcome === 'issued')).toBe(true);
  expect((await plant.json('GET', `/v1/batches/${again.body.id}`, 'line')).body).toMatchObject({ state: 'done', issued: 7, failures: {}, ratePerSecond: null, secondsLeft: null });

  // The key is bound to it (I5).
  expect((await submit(rest, `&resendOf=${body.id}`, 'line', 'resend')).body.id).toBe(again.body.id);
  expect(await submit(rest, '', 'line', 'resend')).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
  expect(await submit(rest, `&resendOf=${again.body.id}`, 'line', 'resend')).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
  expect(await submit(rest, `&resendOf=${body.id}&ca=ecu-issuing`, 'line', 'resend')).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
  expect(await submit(rest, `&resendOf=${body.id}`, 'line-2')).toMatchObject({ status: 404, body: { code: 'batch.not-found' } });
  expect(await submit(rest, '&resendOf=x')).toMatchObject({ status: 400, body: { code: 'http.query-invalid' } });
  const json = (resendOf: string) => plant.json('POST', '/v1/batches', 'line', { profile: 'ecu-client', resendOf, items: [{ ...sent[0] }] }, { 'idempotency-key': 'resend-json' });
  expect(await json(body.id)).toMatchObject({ status: 202, body: { resendOf: body.id } });
  expect(await json(again.body.id)).toMatchObject({ status: 409, body: { code: 'idempotency.conflict' } });
  // What is done is not cancelled.
  await results(again.body.id);
  expect(await cancel(again.body.id)).toMatchObject({ status: 200, body: { state: 'done', cancelledAt: null } });
});

it('tells the rate and the time left of a batch that runs', async () => {
  const { body } = await submit(ndjson(await items(400)));
  let seen: { ratePerSecond: number | null; secondsLeft: number | null; pending: number }[] = [];
  const text = await (await plant.fetch('GET', `/v1/batches/${body.id}/events`, 'line')).text();
  seen = text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)) as (typeof seen)[number]);
  for (const { ratePerSecond, secondsLeft, pending } of seen) {
    expect(secondsLeft).toBe(ratePerSecond === null || ratePerSecond === 0 ? null : Math.ceil(pending / ratePerSecond));
  }
  expect(seen.at(-1)).toMatchObject({ ratePerSecond: null, secondsLeft: null, pending: 0 });
}, 60_000);

it('lists the batches of the caller, or all, newest first, page by page, without single certificates', async () => {
  const list = async (holder: 'line' | 'line-2' | 'auditor', query = '') => (await plant.json('GET', `/v1/batches${query}`, holder)).body as { items: { id: string; createdAt: string; state: string }[]; nextCursor: string | null };
  const all = (await list('line', '?limit=500')).items;
  const paged: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Awaited<ReturnType<typeof list>> = await list('line', `?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
    expect(page.items.length).toBeLessThanOrEqual(2);
    paged.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
  }
  expect(paged).toEqual(all.map(({ id }) => id));
  expect(all.map(({ createdAt }) => createdAt)).toEqual(all.map(({ createdAt }) => createdAt).toSorted().reverse());
  expect(all.length).toBeGreaterThan(4);
  const other = await submit(ndjson(await items(1)), '', 'line-2');
  expect((await list('line-2')).items.map(({ id }) => id)).toEqual([other.body.id]);
  expect((await list('line', '?limit=500')).items).toHaveLength(all.length);
  expect((await list('auditor', '?limit=500')).items).toHaveLength(all.length + 1);
  const single = await plant.json('POST', '/v1/certificates', 'line', { profile: 'ecu-client', ...(await item()) });
  expect((await list('line', '?limit=500')).items.map(({ id }) => id)).not.toContain(single.body.batch);
  expect((await plant.fetch('GET', `/v1/batches/${single.body.batch}`, 'line')).status).toBe(200);
  expect((await list('line', '?state=receiving')).items).toEqual([]);
  for (const bad of ['limit=0', 'cursor=x', 'cursor=1-2', `cursor=999999999999999-${randomUUID()}x`, 'state=gone', 'more=1']) {
    expect(await plant.json('GET', `/v1/batches?${bad}`, 'line')).toMatchObject({ status: 400, body: { code: 'http.query-invalid' } });
  }
});
