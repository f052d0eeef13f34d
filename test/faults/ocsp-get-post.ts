// sh scripts/ocsp-get-post.sh [N]
import { startStatus } from '../../apps/status/dist/start.js';
import { compareGetWithPost } from '../support/ocsp-equality.ts';
import { ocspWays, startOcspNginx } from '../support/ocsp-nginx.ts';
import { startOcspPlant } from '../support/ocsp-plant.ts';

const count = Number(process.argv[2] ?? 10_000);
if (!Number.isInteger(count) || count < 1) {
  console.error('usage: sh scripts/ocsp-get-post.sh [N]');
  process.exit(2);
}
const plant = await startOcspPlant(startStatus, { unknownPerSecond: 1_000_000 });
const nginx = await startOcspNginx(plant.url);
await new Promise((resolve) => setTimeout(resolve, 2000));
let wrong = 0;
for (const way of ocspWays) {
  const began = process.uptime();
  const { compared, slashes, differences } = await compareGetWithPost(plant, nginx, [way], count);
  // What nginx has squeezed cannot always be told: then the request is malformed, and never guessed at.
  const odd = differences.filter(({ get }) => way !== 'normalised' || !get.startsWith('30030a0101'));
  wrong += odd.length;
  for (const { spelling, request, post, get } of odd.slice(0, 20)) console.log(`DIFFERENT  ${way}, ${spelling}: ${request}\n  POST ${post}\n  GET  ${get}`);
  console.log(`${way}: ${count} serials, ${compared} GETs against POSTs, ${slashes} requests with two slashes in a row: ${odd.length} different, `
    + `${differences.length - odd.length} malformed (${(process.uptime() - began).toFixed(0)} s)`);
}
await nginx.stop();
await plant.close();
process.exit(wrong === 0 ? 0 : 1);
