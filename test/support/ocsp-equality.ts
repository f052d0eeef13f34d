import { randomBytes } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { newSerial, type OcspPlant } from './ocsp-plant.ts';
import type { OcspNginx, OcspWay } from './ocsp-nginx.ts';
import { ocspRequest } from './ocsp-request.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 8 });

/** The path goes out as it is written here: fetch would change it. */
export const ask = (url: string, path: string, body?: Uint8Array): Promise<{ readonly status: number; readonly headers: Record<string, unknown>; readonly octets: Buffer }> =>
  new Promise((resolve, reject) => {
    const { hostname, port, pathname } = new URL(url);
    const sent = httpRequest({
      hostname, port, agent, path: (pathname === '/' ? '' : pathname) + path, method: body === undefined ? 'GET' : 'POST',
      headers: body === undefined ? {} : { 'content-type': 'application/ocsp-request', 'content-length': body.length },
    }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, octets: Buffer.concat(pieces) }));
    });
    sent.on('error', reject);
    sent.end(body);
  });

/** Without what differs from one second or signature to the next: what stands before the SingleResponse's thisUpdate, and nonce. */
function said(response: Buffer, nonce: Uint8Array): string {
  const hex = response.toString('hex');
  const found = /(8000|8200|a1(?:11|16)180f[0-9a-f]{30}(?:a0030a01..)?)180f[0-9a-f]{30}a011180f/.exec(hex);
  const echoed = hex.includes(Buffer.from(nonce).toString('hex'));
  return `${found?.[1] ?? hex} ${echoed ? 'as asked' : 'another nonce'}`;
}

export interface Difference {
  readonly way: OcspWay;
  readonly spelling: string;
  readonly request: string;
  readonly post: string;
  readonly get: string;
}

/**
 * Random serials, on record or not, and nonces or none: what a GET through each way of nginx says, in two spellings, is what
 * a POST to the responder itself says (I18): the same octets where there is no nonce, the same status where there is one.
 */
export async function compareGetWithPost(plant: OcspPlant, nginx: OcspNginx, ways: readonly OcspWay[], count: number): Promise<{ compared: number; slashes: number; differences: Difference[] }> {
  const serials = Array.from({ length: count }, newSerial);
  await plant.record(serials.filter((_, i) => i % 2 === 0));
  const differences: Difference[] = [];
  let [compared, slashes] = [0, 0];
  await Promise.all(Array.from({ length: 8 }, async (_, lane) => {
    for (let i = lane; i < count; i += 8) {
      const nonce = i % 3 === 0 ? undefined : randomBytes(1 + (i % 128));
      // 16 bits that are set make a slash of base64, and often two in a row.
      if (i % 7 === 0) nonce?.subarray(i % 5, (i % 5) + 2).fill(0xff);
      const der = ocspRequest([{ issuer: plant.ca.made.certificate, serial: serials[i] ?? newSerial(), hash: i % 5 === 0 ? 'sha256' : 'sha1' }], nonce);
      const base64 = Buffer.from(der).toString('base64');
      if (base64.includes('//')) slashes++;
      // Without a nonce everybody gets the same octets; with one, each answer has a signature of its own.
      const told = (octets: Buffer): string => (nonce === undefined ? octets.toString('hex') : said(octets, nonce));
      const post = told((await ask(plant.url, '/ocsp', der)).octets);
      const way = ways[i % ways.length] ?? 'merge_slashes off';
      for (const [spelling, path] of [['escaped', encodeURIComponent(base64)], ['plain', base64]] as const) {
        const get = told((await ask(nginx.urls[way], `/${path}`)).octets);
        compared++;
        if (get !== post) differences.push({ way, spelling, request: base64, post, get });
      }
    }
  }));
  return { compared, slashes, differences };
}
