import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An object of a bucket. */
export interface StoredObject {
  readonly octets: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * As much of S3 as copies need: GET, HEAD and PUT of `/BUCKET/KEY` with conditions, and every request's signature
 * (AWS Signature Version 4) checked by what is sent alone. That it checks rightly, curl's own signatures show.
 */
export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  readonly requests: string[] = [];
  readonly refused: string[] = [];
  /** Answers so instead, where it gives a status; called before anything is stored. */
  trouble: (method: string, path: string) => number | undefined = () => undefined;
  readonly #server: Server;
  readonly #secrets: ReadonlyMap<string, string>;

  constructor(secrets: ReadonlyMap<string, string>) {
    this.#secrets = secrets;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve); });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  writes(): readonly string[] {
    return this.requests.filter((line) => line.startsWith('PUT ')).map((line) => line.slice(4));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const method = request.method ?? '';
    this.requests.push(`${method} ${path}`);
    const fault = this.#fault(request, path, body);
    if (fault !== undefined) {
      this.refused.push(`${method} ${path}: ${fault}`);
      response.writeHead(403).end(method === 'HEAD' ? undefined : fault);
      return;
    }
    const trouble = this.trouble(method, path);
    if (trouble !== undefined) response.writeHead(trouble).end();
    else if (method === 'PUT') this.#put(request, response, path, body);
    else this.#get(response, method, path);
  }

  #get(response: ServerResponse, method: string, path: string): void {
    const found = this.objects.get(path);
    if (found === undefined) response.writeHead(404).end();
    else response.writeHead(200, { ...found.headers, 'content-length': found.octets.length }).end(method === 'HEAD' ? undefined : found.octets);
  }

  #put(request: IncomingMessage, response: ServerResponse, path: string, octets: Buffer): void {
    const there = this.objects.get(path)?.headers['etag'];
    const { 'if-match': wanted, 'if-none-match': none } = request.headers;
    if ((none === '*' && there !== undefined) || (wanted !== undefined && wanted !== there)) {
      response.writeHead(412).end();
      return;
    }
    const kept = Object.entries(request.headers).filter(([name]) => name.startsWith('x-amz-meta-') || name === 'content-type' || name === 'cache-control');
    const etag = `"${createHash('md5').update(octets).digest('hex')}"`;
    this.objects.set(path, { octets, headers: { ...Object.fromEntries(kept.map(([name, value]) => [name, String(value)])), etag } });
    response.writeHead(200, { etag }).end();
  }

  /** Why the signature does not hold, or undefined. */
  #fault(request: IncomingMessage, path: string, body: Buffer): string | undefined {
    const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(request.headers.authorization ?? '');
    if (match === null) return 'no signature';
    const [, id = '', day = '', region = '', names = '', given = ''] = match;
    const secret = this.#secrets.get(id);
    if (secret === undefined) return 'unknown key';
    const time = String(request.headers['x-amz-date']);
    const seconds = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
    if (!time.startsWith(day) || !(Math.abs(Date.now() - seconds) < 900_000)) return 'the time is not now';
    const said = request.headers['x-amz-content-sha256'];
    const actual = createHash('sha256').update(body).digest('hex');
    if (said !== undefined && said !== actual) return 'the body is another';
    const lines = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join('');
    const canonical = `${request.method}\n${path}\n\n${lines}\n${names}\n${said ?? actual}`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${day}/${region}/s3/aws4_request\n${createHash('sha256').update(canonical).digest('hex')}`;
    let key: Buffer = Buffer.from(`AWS4${secret}`);
    for (const part of [day, region, 's3', 'aws4_request', text]) key = createHmac('sha256', key).update(part).digest();
    return timingSafeEqual(key, Buffer.from(given, 'hex')) ? undefined : 'the signature is wrong';
  }
}
