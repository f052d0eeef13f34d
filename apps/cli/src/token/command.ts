import { resolve } from 'node:path';
import { isPrincipalName, newToken, type Role, roles, tokenSha256 } from '@fleetroot/access';
import { caName, PkiError, systemClock, systemRandom } from '@fleetroot/core';
import { Command, Option } from 'commander';
import { dataDirAt } from '../data-dir/layout.ts';
import { writeSecret } from '../data-dir/secret-file.ts';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';

interface CreateFlags extends LedgerFlags {
  readonly name: string;
  readonly role: Role[];
  readonly ca?: string[];
  readonly days?: string;
  readonly file?: string;
  readonly show: boolean;
  readonly json: boolean;
}

/** `system` is the product itself: nobody gets a token for it. */
const grantable = roles.filter((role) => role !== 'system');

export function tokenCommand(): Command {
  const create = withLedgerFlags(new Command('create'))
    .description('give a principal a new token; an older one of the same name ends')
    .requiredOption('--name <name>', 'of the principal')
    .addOption(new Option('--role <role...>', 'what it may do').choices(grantable).makeOptionMandatory())
    .option('--ca <name...>', 'CAs, in any generation, that it may have certificates issued by (default: as it is; of a new one the installation\'s issuing CA)')
    .option('--days <n>', 'until the token expires (default: never)')
    .option('--file <file>', 'where the token is written (default: secrets/NAME.token in the data folder)', (text) => resolve(text))
    .option('--show', 'print the token as well', false)
    .option('--json', 'for machines', false)
    .action(async (flags: CreateFlags) => {
      const created = await createToken(flags);
      if (flags.json) console.log(JSON.stringify(created));
      else {
        console.log(`The token of ${created.name} is in ${created.file}`);
        if (created.token !== undefined) console.log(created.token);
      }
    });
  const list = withLedgerFlags(new Command('list'))
    .description('who may use the API')
    .option('--json', 'for machines', false)
    .action(async (flags: LedgerFlags & { json: boolean }) => {
      const principals = await withLedger(ledgerOf(flags), (store) => store.principals.all());
      if (flags.json) console.log(JSON.stringify(principals));
      else for (const { name, roles: granted, authorities, expiresAt, disabledAt } of principals) {
        const until = disabledAt !== undefined ? 'disabled' : expiresAt === undefined ? '' : `until ${expiresAt.toISOString()}`;
        const by = authorities.length === 0 ? '' : `issued by ${authorities.join(', ')}`;
        console.log([name.padEnd(24), granted.join(', ').padEnd(24), until, by].filter((part) => part !== '').join(' ').trimEnd());
      }
    });
  return new Command('token').description('principals of the REST API and their tokens').addCommand(create).addCommand(list);
}

async function createToken(flags: CreateFlags): Promise<{ name: string; file: string; token?: string }> {
  const { name, role, days, show } = flags;
  if (!isPrincipalName(name)) throw new PkiError('config.invalid', 'a name has 1 to 64 lower-case letters, digits, inner ".", "_" and "-"');
  const file = flags.file ?? (flags.environment ? undefined : dataDirAt(flags.dataDir).secret(`${name}.token`));
  if (file === undefined) throw new PkiError('config.invalid', 'say where the token is to be written: --file');
  const token = newToken(systemRandom);
  const hash = tokenSha256(token);
  if (hash === undefined) throw new PkiError('internal', 'a new token is not of the form of tokens');
  const at = systemClock.now();
  const expiresAt = days === undefined ? undefined : new Date(at.getTime() + daysOf(days) * 86_400_000);
  const granted = [...new Set(role)];
  await withLedger(ledgerOf(flags), async (store) => {
    const known = (await store.principals.all()).find((principal) => principal.name === name);
    if (known?.roles.includes('system') === true) throw new PkiError('config.invalid', `${name} belongs to the product itself`);
    const authorities = flags.ca === undefined ? undefined : [...new Set(flags.ca)];
    for (const ca of authorities ?? []) await store.authorities.byName(caName(ca));
    // The file first: a token that is valid and that nobody has would be worse than one that nobody may use.
    writeSecret(file, token);
    await store.principals.put(name, granted, hash, expiresAt, {
      action: 'principal.created', actor: 'system:cli', at, subject: `principal:${name}`,
      data: { roles: granted, expiresAt: expiresAt?.toISOString() ?? null, authorities: authorities ?? known?.authorities ?? [] },
    }, authorities);
  });
  return { name, file, ...(show ? { token } : {}) };
}

function daysOf(text: string): number {
  const days = Number(text);
  if (!Number.isSafeInteger(days) || days < 1 || days > 36_500) throw new PkiError('config.invalid', '--days takes a whole number from 1 on');
  return days;
}
