import { relative } from 'node:path';
import type { Console } from '../console.ts';
import type { DataDir } from '../data-dir/layout.ts';
import type { Endpoints } from './endpoints.ts';

/** Where everything is, and what to try. The commands work as they are pasted into a shell in the current folder. */
export function welcome(dir: DataDir, { api, device, status }: Endpoints, console: Console): void {
  const token = (name: string): string => quoted(shortest(dir.secret(`${name}.token`)));
  const curl = (name: string): string => `curl -sH "Authorization: Bearer $(cat ${token(name)})"`;
  for (const line of [
    '',
    `  REST API        ${api}/v1        its pages: ${api}/docs`,
    `  First connection of ECUs, mutual TLS   ${device}`,
    `  OCSP, CRLs, CA certificates            ${status}`,
    `  Data            ${dir.path}`,
    `  The operator's token                   ${dir.secret('admin.token')}`,
    '',
    '  Try, in another terminal:',
    `    ${curl('auditor')} '${api}/v1/certificates?limit=2'`,
    `    ${curl('gateway')} ${api}/v1/truststores/ecu-clients`,
    `    curl -s ${status}/crl/ecu-issuing.crl | openssl crl -inform DER -noout -text | head -20`,
    '',
    'Ctrl-C stops it.',
  ]) console.say(line);
}

function shortest(path: string): string {
  const near = relative(process.cwd(), path);
  return near !== '' && !near.startsWith('..') ? near : path;
}

const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`);
