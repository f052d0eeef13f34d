import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';

/** nginx before a responder, one port for each way to set it up. */
export interface OcspNginx {
  /** URL of the responder, by the name of the way. */
  readonly urls: Readonly<Record<OcspWay, string>>;
  stop(): Promise<void>;
}

/** `normalised`: proxy_pass with a URI part, for which nginx writes the path anew. */
const WAYS = {
  'merge_slashes off': 'merge_slashes off; location / { proxy_pass http://status; }',
  'merge_slashes on': 'merge_slashes on; location / { proxy_pass http://status; }',
  normalised: 'merge_slashes on; location / { proxy_pass http://status/; }',
  'normalised, merge_slashes off': 'merge_slashes off; location / { proxy_pass http://status/; }',
  cached: 'merge_slashes off; location / { proxy_pass http://status; proxy_cache ocsp; proxy_cache_methods GET; proxy_cache_lock on; add_header x-cache $upstream_cache_status; }',
} as const;
export type OcspWay = keyof typeof WAYS;
export const ocspWays = Object.keys(WAYS) as OcspWay[];

export async function startOcspNginx(to: string): Promise<OcspNginx> {
  const folder = mkdtempSync(join(tmpdir(), 'fleetroot-nginx-'));
  const ports = await Promise.all(ocspWays.map(() => freePort()));
  const servers = ocspWays.map((way, i) => `server { listen 127.0.0.1:${ports[i]}; ${WAYS[way]} }`);
  writeFileSync(join(folder, 'nginx.conf'), `
daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log info;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  proxy_cache_path ${folder}/cache keys_zone=ocsp:1m;
  proxy_http_version 1.1; proxy_set_header Connection "";
  upstream status { server ${new URL(to).host}; keepalive 8; }
  ${servers.join('\n  ')}
}`);
  const nginx: ChildProcess = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { stdio: 'ignore' });
  const urls = Object.fromEntries(ocspWays.map((way, i) => [way, `http://127.0.0.1:${ports[i]}/ocsp`])) as Record<OcspWay, string>;
  for (let tries = 0; tries < 200; tries++) {
    const up = await fetch(`${urls.normalised}/`).then(() => true, () => false);
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    urls,
    stop: () => new Promise((resolve) => {
      nginx.once('exit', () => {
        rmSync(folder, { recursive: true, force: true });
        resolve();
      });
      nginx.kill('SIGTERM');
    }),
  };
}
