import { crlPath } from '../published/paths.ts';
import type { PublishedCrls } from './published-crl.ts';

/** A CRL of ten million entries is shorter. */
const MAX_OCTETS = 1_000_000_000;
const TIMEOUT_MS = 60_000;

/** The CRLs that a status app serves under its public address, or whatever stands before it; no cache on the way is asked. */
export function statusSite(url: string): PublishedCrls {
  return {
    async fetch(caName, scope = 'all', kind = 'full') {
      const response = await fetch(`${url.replace(/\/+$/, '')}/${crlPath({ ca: caName, scope, kind })}`, {
        signal: AbortSignal.timeout(TIMEOUT_MS), headers: { 'cache-control': 'no-cache' },
      }).catch((cause: unknown) => {
        throw new Error(`${url} does not answer`, { cause });
      });
      if (!response.ok) {
        await response.body?.cancel();
        if (response.status === 404) return undefined;
        throw new Error(`${url} answers ${response.status}`);
      }
      const parts: Uint8Array[] = [];
      let octets = 0;
      for await (const part of response.body ?? []) {
        octets += part.length;
        if (octets > MAX_OCTETS) throw new Error(`${url} sends more than a CRL has`);
        parts.push(part);
      }
      return new Uint8Array(Buffer.concat(parts));
    },
  };
}
