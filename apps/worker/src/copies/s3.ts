import { hash } from 'node:crypto';
import { type Clock, PkiError } from '@fleetroot/core';
import { request } from 'undici';
import { type S3Credentials, signedHeaders } from './sigv4.ts';
import type { CopyObject, CopyTarget, Lying } from './target.ts';

export interface S3Options extends S3Credentials {
  /** URL; the bucket comes after it in the path. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Before each path, with its slash; may be empty. */
  readonly prefix: string;
}

/** Of one request, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** The store hands it out as it is for ever: short, so that no cache keeps a CRL much beyond its successor. */
const CACHE_CONTROL = 'public, max-age=60, must-revalidate, no-transform';
const NUMBER = 'x-amz-meta-crl-number';
const SHA256 = 'x-amz-meta-sha256';

/** Copies in a bucket of S3, or of a store with its protocol. */
export class S3Target implements CopyTarget {
  readonly name = 's3';
  readonly #options: S3Options;
  readonly #clock: Clock;

  constructor(options: S3Options, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  async look(path: string): Promise<Lying | undefined> {
    const { status, headers } = await this.#ask('HEAD', path, {});
    if (status === 404) return undefined;
    this.#expect(status === 200, status, 'HEAD', path);
    const number = headers[NUMBER];
    return { sha256: headers[SHA256], number: number === undefined || !/^\d{1,60}$/.test(number) ? undefined : BigInt(number), state: headers['etag'] ?? '' };
  }

  /** Asking for each object again and again has its price: whoever writes to the bucket by hand waits for the next full look. */
  async isUntouched(): Promise<boolean> {
    return true;
  }

  async put({ path, contentType, crl }: Pick<CopyObject, 'path' | 'contentType' | 'crl'>, octets: Uint8Array, sha256: string, over: Lying | undefined): Promise<boolean> {
    const { status } = await this.#ask('PUT', path, {
      'content-type': contentType, 'cache-control': CACHE_CONTROL, [SHA256]: sha256,
      ...(crl === undefined ? {} : { [NUMBER]: String(crl.number) }),
      // Only over what the decision rests on: another worker may be faster.
      ...(over === undefined ? { 'if-none-match': '*' } : { 'if-match': over.state }),
    }, octets);
    if (status === 412 || status === 409) return false;
    this.#expect(status === 200 || status === 204, status, 'PUT', path);
    return true;
  }

  /** A PUT that was answered is durable. */
  async settle(): Promise<void> {}

  async get(path: string): Promise<Uint8Array | undefined> {
    const { status, body } = await this.#ask('GET', path, {});
    if (status === 404) return undefined;
    this.#expect(status === 200, status, 'GET', path);
    return body;
  }

  #expect(right: boolean, status: number, method: string, path: string): void {
    if (right) return;
    const why = status === 403 ? ': look at the key, its rights and the region' : '';
    throw new PkiError('internal', `the bucket ${this.#options.bucket} answered ${status} to ${method} ${path}${why}`);
  }

  async #ask(method: 'GET' | 'HEAD' | 'PUT', path: string, headers: Record<string, string>, body?: Uint8Array): Promise<{ status: number; headers: Record<string, string>; body: Uint8Array }> {
    const { endpoint, bucket, prefix } = this.#options;
    const url = new URL(`${endpoint.replace(/\/+$/, '')}/${bucket}/${prefix}${path}`);
    const signed = signedHeaders({ method, url, headers, payloadSha256: hash('sha256', body ?? '') }, this.#options, this.#clock.now());
    const answer = await request(url, { method, headers: signed, body: body ?? null, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, signal: AbortSignal.timeout(TIMEOUT_MS * 2) });
    const octets = new Uint8Array(await answer.body.arrayBuffer());
    return { status: answer.statusCode, headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])), body: octets };
  }
}
