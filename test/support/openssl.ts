import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const openssl = (args: readonly string[], input?: string | Uint8Array): string =>
  execFileSync('openssl', args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });

/** Makes NAME.key and a request for `commonName` with a DNS name of the same, in `folder`; returns the request's PEM. */
export function opensslKeyAndRequest(folder: string, name: string, commonName: string): string {
  const csr = join(folder, `${name}.csr`);
  openssl([
    'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, `${name}.key`),
    '-subj', `/CN=${commonName}`, '-addext', `subjectAltName=DNS:${commonName}`, '-out', csr,
  ]);
  return readFileSync(csr, 'utf8');
}
