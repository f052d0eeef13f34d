// The revocation filter of a large ledger: from the rows to the published octets, and each serial asked for.
import type { StoredFilter } from '@fleetroot/authority';
import { systemClock, systemRandom } from '@fleetroot/core';
import { FilterFile, publishFilter, RevocationFilter } from '@fleetroot/filter';
import { day } from '../support/ledger.ts';
import { showing } from './bar.ts';
import { type Cost, costOf, type LargeLedger, revokeSome } from './many-revoked.ts';
import type { Result } from './report.ts';

const OCTETS_GOAL = 2_000_000;
const SECONDS_GOAL = 60;
/** Revoked between the full filter and its delta. */
const CHANGES = 2000;
const PAGE = 10_000;

/** A full filter of what is revoked, and a delta of some more. */
export async function filters(ledger: LargeLedger): Promise<Result[]> {
  const full = await publish(ledger, 'full filter published');
  await revokeSome(ledger, CHANGES);
  const delta = await publish(ledger, 'delta of the filter published');
  const asked = await askAll(ledger, full.of, delta.of);
  return results(full, delta, asked);
}

function publish(ledger: LargeLedger, what: string): Promise<Cost<StoredFilter>> {
  const { store, authority, signer } = ledger;
  return showing(1, what, async (onDone) => {
    const cost = await costOf(ledger, async (look) => {
      const pause = async (): Promise<void> => {
        look();
        await new Promise<void>((resolve) => void setImmediate(resolve));
      };
      const filter = await publishFilter({ filters: store.filters, authority: authority.ca, signer, clock: systemClock, random: systemRandom, lifetimeMs: day, pause });
      if (filter === undefined) throw new Error('nothing was published');
      return filter;
    });
    onDone(1);
    return cost;
  });
}

interface Asked {
  /** Serials with another answer than the ledger's, by full filter and delta. */
  readonly wrong: number;
  readonly asked: number;
  readonly nanoseconds: number;
}

async function askAll({ client, authority: { ca, made }, known }: LargeLedger, full: StoredFilter, delta: StoredFilter): Promise<Asked> {
  const file = new FilterFile(full.content, made.spkiDer);
  const filter = new RevocationFilter(file, new FilterFile(delta.content, made.spkiDer));
  const issuer = file.header.ca;
  const now = new Date();
  let [wrong, asked, nanoseconds] = [0, 0, 0n];
  await client.query('BEGIN');
  await client.query(`DECLARE each CURSOR FOR SELECT c.serial, c.not_before, r.serial IS NOT NULL AS revoked
    FROM certificate c LEFT JOIN revocation r ON r.ca_id = c.ca_id AND r.serial = c.serial WHERE c.ca_id = ${ca.id}`);
  await showing(known, 'serials asked for', async (onDone) => {
    for (;;) {
      const { rows } = await client.query<{ serial: Buffer; not_before: Date; revoked: boolean }>(`FETCH ${PAGE} FROM each`);
      if (rows.length === 0) break;
      const began = process.hrtime.bigint();
      for (const { serial, not_before, revoked } of rows) {
        const answer = filter.status({ issuer, serial, notBefore: not_before }, now);
        asked++;
        if (answer !== (revoked ? 'revoked' : 'not-revoked') && answer !== 'not-covered') wrong++;
      }
      nanoseconds += process.hrtime.bigint() - began;
      onDone(rows.length);
    }
  });
  await client.query('COMMIT');
  return { wrong, asked, nanoseconds: Number(nanoseconds) / Math.max(1, asked) };
}

function results(full: Cost<StoredFilter>, delta: Cost<StoredFilter>, { wrong, asked, nanoseconds }: Asked): Result[] {
  const of = (name: string, { of: filter, seconds, processorSeconds: own, databaseSeconds, memoryOverIdle }: Cost<StoredFilter>): Result[] => [
    { name: `${name}: octets`, value: filter.content.length, unit: 'octets', goal: OCTETS_GOAL },
    { name: '... from the ledger to published', value: seconds, unit: 's', goal: SECONDS_GOAL },
    { name: '... processor, this process', value: own, unit: 's' },
    { name: '... processor, PostgreSQL', value: databaseSeconds, unit: 's' },
    { name: '... memory over idle', value: memoryOverIdle, unit: 'MiB' },
  ];
  return [
    ...of('filter, full', full), ...of(`filter, delta of ${CHANGES}`, delta),
    { name: 'filter: serials asked for', value: asked, unit: '' },
    { name: '... wrong answers', value: wrong, unit: '', goal: 0 },
    { name: '... one answer, TypeScript', value: nanoseconds, unit: 'ns' },
  ];
}
