import { verifyChain } from '@fleetroot/audit';
import { toHex } from '@fleetroot/core';
import { Command } from 'commander';
import { exitStatus } from '../exit-status.ts';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

export function auditCommand(): Command {
  const verify = withLedgerFlags(new Command('verify'))
    .description('walk the hash chain from its first event; exit status 3 where it is broken')
    .option('--json', 'for machines', false)
    .action(async (flags: LedgerFlags & { json: boolean }) => {
      // The head is read first: what is appended meanwhile lies behind it and is not looked at.
      const verdict = await withLedger(ledgerOf(flags), async (store) => {
        const head = await store.audit.head();
        return verifyChain(upTo(store.audit.events(), head.seq), head);
      });
      const { events, head, breach } = verdict;
      if (flags.json) {
        console.log(JSON.stringify({
          events, head: { seq: String(head.seq), hash: toHex(head.hash) },
          ...(breach === undefined ? {} : { breach: { seq: String(breach.seq), what: breach.what } }),
        }));
      } else if (breach === undefined) {
        console.log(`The audit chain holds: ${events} events, head ${toHex(head.hash)}`);
      } else {
        console.log(`THE AUDIT CHAIN IS BROKEN at event ${breach.seq} (${meaning[breach.what]}); the ${events} events before it hold`);
      }
      if (breach !== undefined) process.exitCode = exitStatus.found;
    });
  return new Command('audit').description('the audit log').addCommand(verify);
}

const meaning = {
  missing: 'an event is missing or out of order',
  'previous-hash': 'it is not chained to the event before it',
  hash: 'it was changed',
  head: 'the chain ends elsewhere than the ledger says',
} as const;

async function* upTo<T extends { readonly seq: bigint }>(events: AsyncIterable<T>, last: bigint): AsyncGenerator<T> {
  for await (const event of events) {
    if (event.seq > last) return;
    yield event;
  }
}
