import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { settings } from '@fleetroot/config';
import { type HeldAuthority, heldAuthorities } from '@fleetroot/authority';
import { PkiError, Secret, systemClock, toHex } from '@fleetroot/core';
import { describeName, parseCertificate } from '@fleetroot/x509';
import { defaultDataDir } from '../checkout.ts';
import { readSecret } from '../data-dir/secret-file.ts';
import { ensureTokens } from '../tokens/tokens.ts';
import { ceremonyFolder, ensureDevelopmentHierarchy } from './hierarchy.ts';

interface RunOptions {
  dataDir: string;
  hsmModule: string;
  tokenLabel: string;
  pinFile?: string;
  statusUrl: string;
}

/** `fleetroot ceremony run FILE` and `fleetroot ceremony show`; neither needs a database. */
export function addCeremonyCommands(program: Command): void {
  const ceremony = program.command('ceremony').description('key ceremonies: make CAs from a file, offline');
  ceremony.command('run').argument('<file>', 'the plan, for example hsm-config/ceremony-dev.yaml')
    .description('make the CAs of a plan that do not exist yet')
    .option('--data-dir <folder>', 'where ceremony/ goes', defaultDataDir)
    .option('--hsm-module <file>', 'PKCS#11 library', settings.hsmModule.default)
    .option('--token-label <label>', 'token that holds the CA keys', settings.caTokenLabel.default)
    .option('--pin-file <file>', 'file with the token\'s user PIN; without it, SoftHSM tokens of the data folder are used, and made where there are none')
    .option('--status-url <url>', 'base of the URLs in the certificates of subordinate CAs', settings.statusPublicUrl.default)
    .action(async (file: string, options: RunOptions) => print(await run(file, options)));
  ceremony.command('show').description('list the CAs of the data folder')
    .option('--data-dir <folder>', 'where ceremony/ is', defaultDataDir)
    .action(({ dataDir }: { dataDir: string }) => print(heldAuthorities(ceremonyFolder(dataDir))));
}

async function run(planFile: string, options: RunOptions): Promise<readonly HeldAuthority[]> {
  const { dataDir, hsmModule: module, statusUrl, pinFile } = options;
  const common = { planFile, dataDir, module, statusUrl, clock: systemClock };
  if (pinFile !== undefined) {
    const pin = existsSync(pinFile) ? readSecret(pinFile) : undefined;
    if (pin === undefined) throw new PkiError('config.invalid', `the PIN file ${pinFile} does not exist`);
    return ensureDevelopmentHierarchy({ ...common, tokenLabel: options.tokenLabel, pin: new Secret(pin) });
  }
  const { ca } = await ensureTokens({ dataDir, module });
  return ensureDevelopmentHierarchy({ ...common, ...ca });
}

function print(authorities: readonly HeldAuthority[]): void {
  for (const { name, parent, certificate, keyId, notBefore, notAfter } of authorities) {
    process.stdout.write([
      `${name}${parent === undefined ? ' (root)' : `, below ${parent}`}`,
      `  subject    ${describeName(parseCertificate(certificate).subjectDer)}`,
      `  valid      ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
      `  key        CKA_ID ${toHex(keyId)}`,
      `  SHA-256    ${createHash('sha256').update(certificate).digest('hex')}`,
      '',
    ].join('\n'));
  }
  if (authorities.length === 0) process.stdout.write('No CA yet: fleetroot ceremony run hsm-config/ceremony-dev.yaml\n');
}
