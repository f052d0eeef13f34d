import { createHash, createHmac } from 'node:crypto';
import type { Secret } from '@fleetroot/core';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly region: string;
}

export interface ToSign {
  readonly method: string;
  readonly url: URL;
  /** Lower-case names; each is signed. `host`, `x-amz-date` and `x-amz-content-sha256` come with the signature. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lower-case hex. */
  readonly payloadSha256: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';

/** The headers of an S3 request under AWS Signature Version 4, those given and those that it adds. */
export function signedHeaders({ method, url, headers, payloadSha256 }: ToSign, { accessKeyId, secretAccessKey, region }: S3Credentials, now: Date): Record<string, string> {
  const time = now.toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const all: Record<string, string> = { ...headers, host: url.host, 'x-amz-content-sha256': payloadSha256, 'x-amz-date': time };
  const names = Object.keys(all).sort();
  const canonical = [
    method, canonicalPath(url), canonicalQuery(url), ...names.map((name) => `${name}:${(all[name] ?? '').trim().replaceAll(/ +/g, ' ')}`), '',
    names.join(';'), payloadSha256,
  ].join('\n');
  const toSign = [ALGORITHM, time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const key = scope.split('/').reduce<Uint8Array | string>((under, part) => hmac(under, part), `AWS4${secretAccessKey.reveal()}`);
  const signature = Buffer.from(hmac(key, toSign)).toString('hex');
  return { ...all, authorization: `${ALGORITHM} Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}` };
}

const hmac = (key: Uint8Array | string, text: string): Uint8Array => createHmac('sha256', key).update(text).digest();

/** Escapes of its own, each octet that is not unreserved; in S3, once. */
const escaped = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

const canonicalPath = (url: URL): string => url.pathname.split('/').map((segment) => escaped(decodeURIComponent(segment))).join('/');

const canonicalQuery = (url: URL): string =>
  [...url.searchParams].map(([name, value]) => `${escaped(name)}=${escaped(value)}`).sort().join('&');
