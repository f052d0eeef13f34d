import { caName, systemClock } from '@fleetroot/core';
import { type CaState, takeStep } from '@fleetroot/authority';
import { Argument, Command } from 'commander';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';
import { cliActor } from './actor.ts';

/** `compromised` comes by revocation alone, which somebody with a token of the API answers for. */
const settable = ['active', 'retiring', 'retired'] as const satisfies readonly CaState[];

export function stateCommand(): Command {
  return withLedgerFlags(new Command('state'))
    .description('take a CA a step further: prepared (known, issues nothing), active, retiring (status only), retired')
    .argument('<name>')
    .addArgument(new Argument('<state>').choices(settable))
    .action(async (name: string, state: CaState, flags: LedgerFlags) => {
      const { before, after } = await withLedger(ledgerOf(flags), (store) => takeStep(store, caName(name), state, { actor: cliActor(), clock: systemClock }));
      console.log(before.state === after.state ? `${name} is ${after.state} already` : `${name} was ${before.state} and is ${after.state}`);
    });
}
