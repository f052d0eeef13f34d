import { startProduct } from '../support/product.ts';
import { percentile, print } from './report.ts';
import { ecuRequests } from './requests.ts';

/** `bench single`: POST /v1/certificates at a steady rate, as stations ask for one certificate each. */
export async function benchSingle(perSecond: number, seconds: number): Promise<void> {
  const requests = await ecuRequests(perSecond * seconds + 50, `S${Date.now().toString(36).toUpperCase()}`);
  const product = await startProduct({ issuers: 2 });
  try {
    const send = async (i: number): Promise<number> => {
      const { ecuSerial, partNumber, csr } = requests[i]!;
      const began = performance.now();
      const answer = await product.json('POST', '/v1/certificates', 'line', {
        profile: 'ecu-client', ecuSerial, partNumber, csr: Buffer.from(csr).toString('base64'),
      });
      if (answer.status !== 201) throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      return performance.now() - began;
    };
    for (let i = 0; i < 50; i++) await send(i);
    const pending: Promise<number>[] = [];
    const began = performance.now();
    for (let i = 0; i < perSecond * seconds; i++) {
      const wait = began + (i * 1000) / perSecond - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      pending.push(send(50 + i));
    }
    const times = (await Promise.all(pending)).sort((a, b) => a - b);
    print('single', [
      { name: 'offered', value: perSecond, unit: '1/s' },
      { name: 'answered', value: times.length / ((performance.now() - began) / 1000), unit: '1/s' },
      { name: 'p50', value: percentile(times, 50), unit: 'ms' },
      { name: 'p99', value: percentile(times, 99), unit: 'ms' },
      { name: 'slowest', value: times.at(-1) ?? Number.NaN, unit: 'ms' },
    ]);
  } finally {
    await product.stop();
  }
}
