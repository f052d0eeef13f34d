// A sender as cheap as they get: octets from a file into a socket, octets from a socket into a hash. What they say is
// looked at afterwards.
import { createHash, X509Certificate } from 'node:crypto';
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { statSync } from 'node:fs';
import type { Product } from '../support/product.ts';
import { bodyOf, type RequestFile } from './request-file.ts';
import { ecuSerialOf } from './requests.ts';

/** What came back: enough to tell later that it was the same. */
export interface Received {
  readonly lines: number;
  readonly sha256: string;
}

/** Sends a batch and returns its id: it is accepted, and durable. Holds no more than a few pieces of the body. */
export async function sendBatch(product: Product, requests: RequestFile, onSent?: (requests: number) => void): Promise<string> {
  const length = requests.parts.reduce((sum, part) => sum + statSync(part).size, 0);
  const answer = await call(product, 'POST', '/v1/batches?profile=ecu-client', {
    'content-type': 'application/x-ndjson', 'content-length': length, 'idempotency-key': `bench-${requests.run}`,
  }, async function* () {
    for await (const piece of bodyOf(requests)) {
      yield piece;
      onSent?.((piece.length * requests.count) / length);
    }
  });
  const body = await text(answer);
  if (answer.statusCode !== 202) throw new Error(`POST /v1/batches answered ${answer.statusCode}: ${body}`);
  return (JSON.parse(body) as { id: string }).id;
}

/** Reads the results to their end, while they come. */
export async function readResults(product: Product, id: string, onRead?: (lines: number) => void): Promise<Received> {
  const answer = await results(product, id);
  const hash = createHash('sha256');
  let lines = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    hash.update(piece);
    let count = 0;
    for (let at = piece.indexOf(10); at !== -1; at = piece.indexOf(10, at + 1)) count++;
    lines += count;
    onRead?.(count);
  }
  return { lines, sha256: hash.digest('hex') };
}

/** So many certificates are parsed: one in so many. */
const PARSED = 500;

/**
 * Reads the results once more and looks at each: that they are the octets that `received` was made of, that each request
 * has its own certificate, and that no serial occurs twice. Throws where not.
 */
export async function checkResults(product: Product, id: string, requests: RequestFile, received: Received): Promise<void> {
  const answer = await results(product, id);
  const hash = createHash('sha256');
  answer.on('data', (piece: Buffer) => hash.update(piece));
  // Of each serial its last eight octets, which are random: for two that are alike in them there is no other reason.
  const serials = new BigUint64Array(requests.count);
  let ordinal = 0;
  for await (const line of createInterface({ input: answer })) {
    const item = JSON.parse(line) as { ordinal: number; outcome: string; ecuSerial: string; serial: string; certificate: string };
    const ecu = ecuSerialOf(requests.run, ordinal);
    if (item.outcome !== 'issued' || item.ordinal !== ordinal || item.ecuSerial !== ecu) throw new Error(`item ${ordinal}: ${line.slice(0, 200)}`);
    if (ordinal % PARSED === 0 && !new X509Certificate(Buffer.from(item.certificate, 'base64')).subject.includes(ecu)) {
      throw new Error(`the certificate of item ${ordinal} names another ECU`);
    }
    serials[ordinal++] = BigInt(`0x${item.serial.slice(-16)}`);
  }
  if (ordinal !== requests.count || received.lines !== requests.count) throw new Error(`${requests.count} requests, ${ordinal} results`);
  if (hash.digest('hex') !== received.sha256) throw new Error('the results read twice are not the same octets');
  serials.sort();
  if (serials.some((serial, i) => i > 0 && serial === serials[i - 1])) throw new Error('a serial number occurs twice');
}

async function results(product: Product, id: string): Promise<IncomingMessage> {
  const answer = await call(product, 'GET', `/v1/batches/${id}/certificates`);
  if (answer.statusCode !== 200) throw new Error(`the results: ${answer.statusCode} ${await text(answer)}`);
  return answer;
}

function call(
  product: Product, method: string, path: string, headers: OutgoingHttpHeaders = {}, body?: () => AsyncIterable<Buffer>,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const message = request(`${product.api}${path}`, {
      method, agent: false, headers: { authorization: `Bearer ${product.token('line')}`, ...headers },
    });
    message.once('response', resolve);
    message.once('error', reject);
    if (body === undefined) message.end();
    // Where the api answers before it has read all, the answer tells why: the broken pipe does not.
    else pipeline(body, message).catch((error: unknown) => setTimeout(() => reject(error as Error), 1_000));
  });
}
