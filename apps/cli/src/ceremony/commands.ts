import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { settings } from '@fleetroot/config';
import { heldObjects } from '@fleetroot/authority';
import { defaultDataDir } from '../checkout.ts';
import { exitStatus } from '../exit-status.ts';
import { approve, type ApproveOptions } from './approve.ts';
import { ceremonyFolder, profilesOfCheckout } from './hierarchy.ts';
import { run, type RunOptions } from './run.ts';
import { describeHeld, shown } from './show.ts';
import { verify, type VerifyOptions } from './verify.ts';

const path = (text: string): string => resolve(text);
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const printAside = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function seconds(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number of seconds');
  return Number(text);
}

interface Place {
  readonly dataDir: string;
  readonly folder?: string;
}

const folderOf = ({ dataDir, folder }: Place): string => folder ?? ceremonyFolder(dataDir);

/** `fleetroot ceremony run`, `approve`, `verify` and `show`; none needs a database. */
export function addCeremonyCommands(program: Command): void {
  const ceremony = program.command('ceremony').description('key ceremonies: make CAs, and what they sign by hand, from a reviewed file, offline');
  addRun(ceremony);
  addApprove(ceremony);
  addVerify(ceremony);
  ceremony.command('show').description('list what ceremonies made')
    .option('--data-dir <folder>', 'where ceremony/ is', path, defaultDataDir)
    .option('--folder <folder>', 'the folder of ceremonies itself', path)
    .option('--json', 'for machines', false)
    .action((options: Place & { json: boolean }) => {
      const held = heldObjects(folderOf(options));
      for (const line of options.json ? [JSON.stringify(shown(held))] : describeHeld(held)) print(line);
    });
}

function addRun(ceremony: Command): void {
  ceremony.command('run').argument('<file>', 'the plan, for example hsm-config/ceremony-dev.yaml')
    .description('hold the ceremony of a plan: sign what is not on record yet, once it is approved; exit status 3 where approvals are missing')
    .option('--dry-run', 'show exactly what will be signed, and its SHA-256; sign nothing (keys that are missing are made)', false)
    .option('--data-dir <folder>', 'where ceremony/ goes', path, defaultDataDir)
    .option('--folder <folder>', 'the folder of ceremonies itself, where there is no data folder', path)
    .option('--hsm-module <file>', 'PKCS#11 library', settings.hsmModule.default)
    .option('--token-label <label>', 'token that holds the CA keys', settings.caTokenLabel.default)
    .option('--pin-file <file>', 'file with the token\'s user PIN; without it, SoftHSM tokens of the data folder are used, and made where there are none')
    .option('--status-url <url>', 'base of the URLs in the certificates of subordinate CAs', settings.statusPublicUrl.default)
    .option('--profiles <folder>', 'profiles of CAs that the plan may name', path, profilesOfCheckout)
    .option('--by <name>', 'who holds the ceremony; does not approve it', userInfo().username)
    .option('--wait <seconds>', 'for approvals (default: as long as it takes)', seconds)
    .option('--no-wait', 'end at once where approvals are missing')
    .option('--json', 'for machines', false)
    .action(async (file: string, options: RunOptions) => {
      process.exitCode = await run(file, options, { say: print, tell: options.json ? printAside : print });
    });
}

function addApprove(ceremony: Command): void {
  ceremony.command('approve').description('approve a dry run as one of the officers')
    .requiredOption('--statement <file>', 'approvals/SHA256-OFFICER.txt of the dry run; SHA256.json, and SHA256.txt to read, lie beside it', path)
    .requiredOption('--officer <name>', 'who approves')
    .option('--key <file>', 'the officer\'s private key, PEM', path)
    .option('--passphrase-file <file>', 'file with the passphrase of that key', path)
    .option('--signature <file>', 'instead of a key: a signature of the statement that was made elsewhere, as openssl writes it or base64', path)
    .option('--json', 'for machines', false)
    .action((options: ApproveOptions) => {
      const { file, approval } = approve(options, options.json ? printAside : print);
      print(options.json ? JSON.stringify({ file, ...approval }) : `Approved by ${approval.officer}: ${file}`);
    });
}

function addVerify(ceremony: Command): void {
  const keys = (text: string, before: readonly string[]): readonly string[] => [...before, text];
  ceremony.command('verify').argument('[folder]', 'the folder of ceremonies (default: ceremony/ in the data folder)', path)
    .description('check every transcript, and every file that it tells of; exit status 3 where something does not hold')
    .option('--data-dir <folder>', 'where ceremony/ is', path, defaultDataDir)
    .option('--key <sha256>', 'of the ceremony key that must have signed; may be repeated', keys, [])
    .option('--transcript <sha256>', 'of a transcript that must be there')
    .option('--json', 'for machines', false)
    .action((folder: string | undefined, options: VerifyOptions & Place) => {
      if (!verify(folder ?? ceremonyFolder(options.dataDir), options, print)) process.exitCode = exitStatus.found;
    });
}
