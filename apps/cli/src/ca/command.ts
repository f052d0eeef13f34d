import { toHex } from '@fleetroot/core';
import { describeName, parseCertificate } from '@fleetroot/x509';
import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

export function caCommand(): Command {
  const list = withLedgerFlags(new Command('list'))
    .description('the CAs on record')
    .option('--json', 'for machines', false)
    .action(async (flags: LedgerFlags & { json: boolean }) => {
      const authorities = await withLedger(ledgerOf(flags), (store) => store.authorities.all());
      const shown = authorities.map((ca) => ({
        name: ca.name,
        issuer: authorities.find(({ id }) => id === ca.parentId)?.name ?? null,
        state: ca.state,
        subject: describeName(parseCertificate(ca.certificate).subjectDer),
        notAfter: ca.notAfter.toISOString(),
        sha256: toHex(createHash('sha256').update(ca.certificate).digest()),
      }));
      if (flags.json) console.log(JSON.stringify(shown));
      else for (const ca of shown) console.log(`${ca.name.padEnd(20)} ${ca.state.padEnd(12)} until ${ca.notAfter.slice(0, 10)}  ${ca.subject}`);
    });
  return new Command('ca').description('certification authorities').addCommand(list);
}
