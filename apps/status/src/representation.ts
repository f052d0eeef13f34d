import type { FastifyReply, FastifyRequest } from 'fastify';
import { cacheHeaders, type Freshness, isUnchanged } from './caching.ts';
import type { Copy } from './copy.ts';

export interface PublishedObject {
  readonly copy: Copy;
  readonly mediaType: string;
  /** Whether gzip may be of use. */
  readonly compressible: boolean;
  readonly freshness: Omit<Freshness, 'etag'>;
  /** Other header fields of each answer. */
  readonly fields?: Readonly<Record<string, string>>;
}

export interface AskedFor {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Answer {
  readonly status: 200 | 206 | 304 | 412 | 416;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

/** How HTTP asks for it: whole, in part, compressed, or only where it has changed. */
export async function answerWith({ copy, mediaType, compressible, freshness, fields = {} }: PublishedObject, asked: AskedFor, now: Date): Promise<Answer> {
  const header = (name: string): string | undefined => {
    const value = asked.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  const common = { ...fields, 'accept-ranges': 'bytes', ...(compressible ? { vary: 'accept-encoding' } : {}) };
  const headersFor = (etag: string): Record<string, string> => ({ ...cacheHeaders({ ...freshness, etag }, now), ...common });
  const range = asked.method === 'GET' ? header('range') : undefined;
  // A part is always one of the octets as they are: their places do not depend on how they were compressed.
  const zipped = compressible && range === undefined && takesGzip(header('accept-encoding')) ? await copy.gzip() : undefined;
  const etag = zipped === undefined ? copy.etag : copy.gzipTag;

  const wanted = header('if-match');
  if (wanted !== undefined && wanted.trim() !== '*' && !tagsOf(wanted).some((tag) => tag === copy.etag || tag === copy.gzipTag)) {
    return { status: 412, headers: headersFor(etag), body: undefined };
  }
  const conditions = { 'if-none-match': header('if-none-match'), 'if-modified-since': header('if-modified-since') };
  // Who holds it as it is may keep that, and who holds the gzip too.
  const held = [etag, copy.etag].find((tag) => isUnchanged(conditions, { ...freshness, etag: tag }));
  if (held !== undefined) return { status: 304, headers: headersFor(held), body: undefined };
  if (zipped !== undefined) return { status: 200, headers: { ...headersFor(etag), 'content-type': mediaType, 'content-encoding': 'gzip' }, body: zipped };

  const { octets } = copy;
  const part = range === undefined || !isSameFor(header('if-range'), etag) ? 'whole' : partOf(range, octets.length);
  if (part === 'none') return { status: 416, headers: { ...common, 'cache-control': 'no-store', 'content-range': `bytes */${octets.length}` }, body: undefined };
  const headers = { ...headersFor(etag), 'content-type': mediaType };
  if (part === 'whole') return { status: 200, headers, body: octets };
  const { first, last } = part;
  return { status: 206, headers: { ...headers, 'content-range': `bytes ${first}-${last}/${octets.length}` }, body: octets.subarray(first, last + 1) };
}

/** Answers the request with the object. */
export async function send(object: PublishedObject, request: FastifyRequest, reply: FastifyReply, now: Date): Promise<void> {
  const { status, headers, body } = await answerWith(object, request, now);
  void reply.code(status).headers(headers);
  await (body === undefined ? reply.send() : reply.send(Buffer.from(body.buffer, body.byteOffset, body.length)));
}

const tagsOf = (header: string): readonly string[] => header.split(',').map((tag) => tag.trim());

/**
 * If-Range: a part is sent only where it fits the octets that the client holds. A date is never enough: two CRLs may be
 * of one second.
 */
const isSameFor = (ifRange: string | undefined, etag: string): boolean => ifRange === undefined || ifRange.trim() === etag;

/** The one part that is asked for; `whole` for what is no range of octets, or several; `none` where nothing lies there. */
export function partOf(range: string, length: number): { readonly first: number; readonly last: number } | 'whole' | 'none' {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range.replaceAll(/[ \t]/g, '').toLowerCase()) ?? [];
  if (from === '' && to === '') return 'whole';
  if (from === '') {
    const suffix = Number(to);
    return suffix === 0 || length === 0 ? 'none' : { first: Math.max(0, length - suffix), last: length - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return 'whole';
  return first >= length ? 'none' : { first, last: to === '' ? length - 1 : Math.min(Number(to), length - 1) };
}

/** Whether Accept-Encoding takes gzip, by name or by `*`, with a weight that is not 0. */
export function takesGzip(header: string | undefined): boolean {
  const weights = new Map((header ?? '').toLowerCase().split(',').map((each) => {
    const [coding = '', ...parameters] = each.split(';').map((part) => part.trim());
    const weight = parameters.find((part) => part.startsWith('q='));
    return [coding, weight === undefined ? 1 : Number(weight.slice(2))] as const;
  }));
  return (weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0) > 0;
}
