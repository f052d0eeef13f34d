import { caName, PkiError, systemClock } from '@fleetroot/core';
import { successionFault } from '@fleetroot/authority';
import { Command } from 'commander';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';
import { cliActor } from './actor.ts';

interface SucceedFlags extends LedgerFlags {
  readonly by?: string;
  readonly at?: string;
  readonly never: boolean;
}

export function succeedCommand(): Command {
  return withLedgerFlags(new Command('succeed'))
    .description('say which CA issues in the place of another, and from when on; the worker makes the switch')
    .argument('<name>', 'the CA that is followed')
    .option('--by <name>', 'its next generation, prepared')
    .option('--at <time>', 'the switch, such as 2027-01-31T22:00:00Z, or "now"')
    .option('--never', 'take the succession back', false)
    .action(async (name: string, flags: SucceedFlags) => {
      const wanted = wantedOf(flags);
      await withLedger(ledgerOf(flags), async ({ authorities }) => {
        const now = systemClock.now();
        const ca = await authorities.byName(caName(name));
        const successor = wanted === undefined ? undefined : await authorities.byName(caName(wanted.by));
        const switchAt = wanted?.at ?? now;
        if (successor === undefined && ca.successorId !== undefined && ca.state !== 'active') {
          throw new PkiError('ca.state-refused', `the CA ${name} is ${ca.state}: its successor stays on record`);
        }
        const fault = successor === undefined ? undefined : successionFault(ca, successor, switchAt, await authorities.all(), now);
        if (fault !== undefined) throw new PkiError('ca.state-refused', fault);
        await authorities.succeed(ca.id, successor === undefined ? undefined : { successorId: successor.id, switchAt }, {
          action: 'ca.succession-changed', actor: cliActor(), at: now, subject: `ca:${name}`,
          data: { successor: successor?.name ?? null, switchAt: successor === undefined ? null : switchAt.toISOString() },
        });
        console.log(successor === undefined ? `Nothing follows ${name}` : `${successor.name} follows ${name} at ${switchAt.toISOString()}`);
      });
    });
}

/** undefined: nothing is to follow. `at` undefined: now. */
function wantedOf({ by, at, never }: SucceedFlags): { readonly by: string; readonly at: Date | undefined } | undefined {
  if (never && by === undefined && at === undefined) return undefined;
  if (never || by === undefined || at === undefined) throw new PkiError('config.invalid', 'give --by and --at, or --never alone');
  if (at === 'now') return { by, at: undefined };
  const time = new Date(at);
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/.test(at) || Number.isNaN(time.getTime())) {
    throw new PkiError('config.invalid', '--at takes a time with its offset, such as 2027-01-31T22:00:00Z');
  }
  return { by, at: time };
}
