import { createHash } from 'node:crypto';
import type { CertificationAuthority } from '@fleetroot/authority';
import { describeName, parseCertificate } from '@fleetroot/x509';
import { Command } from 'commander';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

export interface ListedAuthority {
  readonly name: string;
  /** Name of the CA above; null: a root. */
  readonly issuer: string | null;
  readonly state: CertificationAuthority['state'];
  /** Whether its key is in the CA token. */
  readonly keyOnline: boolean;
  readonly subject: string;
  readonly notAfter: string;
  readonly sha256: string;
  readonly successor: string | null;
  readonly switchAt: string | null;
  readonly revokedAt: string | null;
  readonly labels: Readonly<Record<string, string>>;
}

export function listCommand(): Command {
  return withLedgerFlags(new Command('list'))
    .description('the CAs on record')
    .option('--json', 'for machines', false)
    .action(async (flags: LedgerFlags & { json: boolean }) => {
      const shown = listed(await withLedger(ledgerOf(flags), (store) => store.authorities.all()));
      if (flags.json) console.log(JSON.stringify(shown));
      else for (const ca of shown) console.log(describe(ca));
    });
}

export function listed(all: readonly CertificationAuthority[]): ListedAuthority[] {
  const nameOf = (id: number | undefined): string | null => all.find((ca) => ca.id === id)?.name ?? null;
  return all.map((ca) => ({
    name: ca.name, issuer: nameOf(ca.parentId), state: ca.state, keyOnline: ca.keyId !== undefined,
    subject: describeName(parseCertificate(ca.certificate).subjectDer), notAfter: ca.notAfter.toISOString(),
    sha256: createHash('sha256').update(ca.certificate).digest('hex'), successor: nameOf(ca.successorId),
    switchAt: ca.switchAt?.toISOString() ?? null, revokedAt: ca.revocation?.revokedAt.toISOString() ?? null, labels: ca.labels,
  }));
}

function describe({ name, issuer, state, keyOnline, subject, notAfter, successor, switchAt, revokedAt, labels }: ListedAuthority): string {
  const more = [
    issuer === null ? 'root' : `below ${issuer}`,
    keyOnline ? 'key online' : 'key elsewhere',
    ...(revokedAt === null ? [] : [`REVOKED at ${revokedAt}`]),
    ...(successor === null ? [] : [`followed by ${successor} at ${switchAt}`]),
    ...Object.entries(labels).map(([label, value]) => `${label}=${value}`),
  ];
  return `${name.padEnd(20)} ${state.padEnd(12)} until ${notAfter.slice(0, 10)}  ${subject}  (${more.join(', ')})`;
}
