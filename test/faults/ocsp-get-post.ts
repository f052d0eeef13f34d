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
const exact = await compareGetWithPost(plant, nginx, ocspWays.filter((way) => way !== 'normalised'), count);
const squeezed = await compareGetWithPost(plant, nginx, ['normalised'], Math.ceil(count / 10));
await nginx.stop();
await plant.close();
for (const { way, spelling, request, post, get } of exact.differences) console.log(`DIFFERENT  ${way}, ${spelling}: ${request}\n  POST ${post}\n  GET  ${get}`);
const guessed = squeezed.differences.filter(({ get }) => !get.startsWith('30030a0101'));
console.log(`${exact.compared} GETs against POSTs, ${exact.slashes} requests with two slashes in a row: ${exact.differences.length} different`);
console.log(`${squeezed.compared} through a proxy that squeezes slashes, ${squeezed.slashes} such requests: ${squeezed.differences.length} malformed, ${guessed.length} wrong`);
process.exit(exact.differences.length + guessed.length === 0 ? 0 : 1);
