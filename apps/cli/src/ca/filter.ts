import { signsStatus } from '@fleetroot/authority';
import { caName, PkiError } from '@fleetroot/core';
import { Command } from 'commander';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

export function filterCommand(): Command {
  return withLedgerFlags(new Command('filter'))
    .description('have the revocation filter of a CA published now, for vehicles: an issuer makes it')
    .argument('<name>')
    .action(async (name: string, flags: LedgerFlags) => {
      await withLedger(ledgerOf(flags), async (store) => {
        const authority = await store.authorities.byName(caName(name));
        if (!signsStatus(authority)) throw new PkiError('ca.not-active', `the CA ${name} signs nothing here: it has no filter`);
        await store.filters.ask(authority.id);
      });
      console.log(`The next filter of ${name} is asked for`);
    });
}
