// CRLs of a ledger with many revoked: all shards with their deltas, the whole CA, and what one more revocation makes due.
import { setTimeout as sleep } from 'node:timers/promises';
import { type CrlPublication, publishCrls } from '@fleetroot/authority';
import { LATE_COMMIT_MS } from '@fleetroot/core';
import { showing } from './bar.ts';
import { type Cost, costOf, type LargeLedger, revokeSome } from './many-revoked.ts';
import type { Result } from './report.ts';

const SECONDS_GOAL = 10;
const OCTETS_GOAL = 1_000_000;
/** As for one CRL that is written (`bench x509`). */
const MEMORY_GOAL_MIB = 100;

interface Published {
  readonly crls: number;
  /** Octets of the largest of them, and of all. */
  readonly largest: number;
  readonly together: number;
}

/** Publishes what is revoked, twice. A change that is young is in each delta: they are as large as they can be. */
export async function publishing(ledger: LargeLedger): Promise<Result[]> {
  const run = (what: string, work: () => Promise<unknown>): Promise<Cost<Published>> =>
    showing(1, what, async (onDone) => {
      const cost = await costOf(ledger, work);
      onDone(1);
      return { ...cost, of: await newest(ledger) };
    });
  const shards = (): Promise<unknown> => publishCrls(scopesOf(ledger.publication, (scope) => scope !== 'all'), 'all');
  const first = await run('all shards published', shards);
  const again = await run('all shards published again', shards);
  const whole = await run('the whole CA published', () => publishCrls(scopesOf(ledger.publication, (scope) => scope === 'all'), 'all'));
  // Deltas that leave out what the full CRLs have: then one revocation makes due what is its own.
  await sleep(LATE_COMMIT_MS + 1_000);
  await publishCrls(ledger.publication, 'due');
  await revokeSome(ledger, 1);
  const more = await run('one more revocation published', () => publishCrls(ledger.publication, 'due'));
  return [
    ...costRows('all shards, full and delta', first, SECONDS_GOAL),
    { name: '... CRLs', value: first.of.crls, unit: '' },
    { name: '... the largest', value: first.of.largest, unit: 'octets', goal: OCTETS_GOAL },
    { name: '... memory over idle', value: first.memoryOverIdle, unit: 'MiB', goal: MEMORY_GOAL_MIB },
    ...costRows('the same again', again, SECONDS_GOAL),
    { name: '... memory, most, over the first time\'s', value: again.memory / first.memory, unit: '' },
    ...costRows('the whole CA, full and delta', whole),
    { name: '... memory over idle', value: whole.memoryOverIdle, unit: 'MiB', goal: MEMORY_GOAL_MIB },
    { name: '... octets', value: whole.of.together, unit: 'octets' },
    ...costRows('what one more revocation makes due', more),
    { name: '... CRLs', value: more.of.crls, unit: '' },
  ];
}

const costRows = (name: string, { seconds, processorSeconds, databaseSeconds }: Cost<Published>, goal?: number): Result[] => [
  { name: `${name}: published after`, value: seconds, unit: 's', ...(goal === undefined ? {} : { goal }) },
  { name: '... processor, this process', value: processorSeconds, unit: 's' },
  { name: '... processor, PostgreSQL', value: databaseSeconds, unit: 's' },
];

/** The same CA as if it had these scopes alone. */
function scopesOf(publication: CrlPublication, isIn: (scope: string) => boolean): CrlPublication {
  return {
    ...publication, crls: new Proxy(publication.crls, {
      get: (crls, name) => {
        if (name === 'scopes') return async (caId: number) => (await crls.scopes(caId)).filter(({ scope }) => isIn(scope));
        const value: unknown = Reflect.get(crls, name);
        return typeof value === 'function' ? value.bind(crls) : value;
      },
    }),
  };
}

/** All CRLs of a run have one number. */
async function newest({ client }: LargeLedger): Promise<Published> {
  const { rows: [row] } = await client.query<{ crls: string; largest: number; together: string }>(
    'SELECT count(*) AS crls, max(octets) AS largest, sum(octets) AS together FROM crl WHERE published_at IS NOT NULL AND number = (SELECT max(number) FROM crl WHERE published_at IS NOT NULL)');
  return { crls: Number(row?.crls), largest: row?.largest ?? Number.NaN, together: Number(row?.together) };
}
