import type { CrlKind, CrlScope } from '../ports/crl.ts';

/** Which CRL a path below the public URL is about. */
export interface CrlPlace {
  readonly ca: string;
  readonly scope: CrlScope;
  readonly kind: CrlKind;
}

const CRL = /^crl\/([a-z0-9][a-z0-9-]{0,63})(?:\/([1-9]\d{0,3}\/(?:0|[1-9]\d{0,2})))?(\.delta)?\.crl$/;

/** `crl/CA.crl`, `crl/CA/SHARDS/SHARD.crl`; a delta has `.delta.crl` in place of `.crl`. */
export const crlPath = ({ ca, scope, kind }: CrlPlace): string =>
  `crl/${ca}${scope === 'all' ? '' : `/${scope}`}${kind === 'delta' ? '.delta' : ''}.crl`;

/** undefined: no CRL can lie there. */
export function crlPlace(path: string): CrlPlace | undefined {
  const [, ca, shard, delta] = CRL.exec(path) ?? [];
  if (ca === undefined) return undefined;
  return { ca, scope: (shard ?? 'all') as CrlScope, kind: delta === undefined ? 'full' : 'delta' };
}
