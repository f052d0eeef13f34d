import type { CopyObject } from './target.ts';

export const MANIFEST = 'index.json';

/** What a copy holds of one path. */
export interface Listed {
  readonly path: string;
  readonly sha256: string;
  readonly octets: number;
  readonly contentType: string;
  /** Of a CRL: decimal, and RFC 3339. */
  readonly number?: string;
  readonly thisUpdate?: string;
  readonly nextUpdate?: string;
}

export const listed = ({ path, contentType, crl }: CopyObject, sha256: string, octets: number): Listed => ({
  path, sha256, octets, contentType,
  ...(crl === undefined ? {} : { number: String(crl.number), thisUpdate: crl.thisUpdate.toISOString(), nextUpdate: crl.nextUpdate.toISOString() }),
});

/** `complete`: every path is what was published at `checkedAt`. */
export function encodeManifest(entries: Iterable<Listed>, checkedAt: Date, complete: boolean): Uint8Array {
  const objects = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1));
  return Buffer.from(`${JSON.stringify({ format: 1, checkedAt: checkedAt.toISOString(), complete, objects }, undefined, 1)}\n`);
}

/** The entries of a manifest by path; none where it is missing or no manifest: then the objects themselves are looked at. */
export function decodeManifest(octets: Uint8Array | undefined): Map<string, Listed> {
  try {
    const { format, objects } = JSON.parse(Buffer.from(octets ?? []).toString()) as { format: number; objects: Listed[] };
    if (format !== 1) return new Map();
    return new Map(objects.filter(({ path, sha256 }) => typeof path === 'string' && typeof sha256 === 'string').map((each) => [each.path, each]));
  } catch {
    return new Map();
  }
}
