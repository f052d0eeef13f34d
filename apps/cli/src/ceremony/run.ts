import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  ceremonyRecords, type CeremonyToken, holdCeremony, type PreparedCeremony, prepareCeremony, type PrepareParts, verifyTranscript,
} from '@fleetroot/authority';
import { isPkiError, PkiError, Secret, systemClock } from '@fleetroot/core';
import { makeDataDir } from '../data-dir/layout.ts';
import { takeLock } from '../data-dir/lock.ts';
import { readSecret } from '../data-dir/secret-file.ts';
import { exitStatus } from '../exit-status.ts';
import { ensureTokens } from '../tokens/tokens.ts';
import { stopWish } from '../up/signals.ts';
import { approvalsIn, writeRequest } from './approvals-folder.ts';
import { ceremonyFolder, type TokenOptions, withCeremony } from './hierarchy.ts';
import { shown } from './show.ts';
import { awaitApprovals } from './wait.ts';

export interface RunOptions {
  readonly dryRun: boolean;
  readonly dataDir: string;
  readonly folder?: string;
  readonly hsmModule: string;
  readonly tokenLabel: string;
  readonly pinFile?: string;
  readonly statusUrl: string;
  readonly profiles: string;
  readonly by: string;
  /** In seconds; false: not at all; undefined: as long as it takes. */
  readonly wait?: number | false;
  readonly json: boolean;
}

const titles = { ca: 'CA', cross: 'cross-certificate', 'ocsp-signer': 'OCSP signer', crl: 'CRL', request: 'request' } as const;

/** What is said goes to standard output; in the way of machines, to standard error. */
export interface Output {
  readonly say: (line: string) => void;
  readonly tell: (line: string) => void;
}

/**
 * `fleetroot ceremony run`. Returns the exit status.
 * @throws PkiError
 */
export async function run(planFile: string, options: RunOptions, output: Output): Promise<number> {
  const { folder, lock } = placeOf(options);
  const release = lock === undefined ? () => undefined : takeLock(lock);
  const wish = stopWish(() => process.exit(exitStatus.failed));
  try {
    const { profiles, statusUrl } = options;
    const ceremony = { ...await tokenOf(options), planFile, folder, profiles, statusUrl, clock: systemClock };
    return await withCeremony(ceremony, (parts) => (options.dryRun ? dryRun(parts, options, output) : hold(parts, options, output, wish.signal)));
  } catch (error) {
    if (!isPkiError(error) || error.code !== 'ceremony.not-approved') throw error;
    process.stderr.write(`fleetroot: ${error.message}\nNothing was signed. Give the same command again to go on; the dry run stays the same.\n`);
    return exitStatus.unapproved;
  } finally {
    wish.dispose();
    release();
  }
}

/** The folder of ceremonies, and the lock of the data folder around it, whose tokens may be made. */
function placeOf({ folder, dataDir }: RunOptions): { folder: string; lock?: string } {
  if (folder !== undefined) return { folder };
  const { path, lock } = makeDataDir(dataDir);
  return { folder: ceremonyFolder(path), lock };
}

async function tokenOf({ hsmModule: module, tokenLabel, pinFile, folder, dataDir }: RunOptions): Promise<TokenOptions> {
  if (pinFile === undefined && folder !== undefined) throw new PkiError('config.invalid', 'with --folder, say how the token is opened: --token-label and --pin-file');
  if (pinFile === undefined) return { module, ...(await ensureTokens({ dataDir, module })).ca };
  const pin = existsSync(pinFile) ? readSecret(pinFile) : undefined;
  if (pin === undefined) throw new PkiError('config.invalid', `the PIN file ${pinFile} does not exist`);
  return { module, tokenLabel, pin: new Secret(pin) };
}

async function dryRun(parts: PrepareParts, { json }: RunOptions, { say, tell }: Output): Promise<number> {
  const { token, made } = counting(parts.token);
  const prepared = await prepareCeremony({ ...parts, token });
  const statements = request(parts.folder, prepared);
  if (json) {
    const { title, sha256, approvals, officers, objects, text } = prepared;
    say(JSON.stringify({
      title, sha256, approvals, officers: officers.map(({ name }, i) => ({ name, statement: statements[i] ?? null })),
      objects: objects.map(({ kind, file, name, tbsSha256 }) => ({ kind, file, name, tbsSha256 })), keysMade: made, text,
    }));
    return exitStatus.ok;
  }
  tell(prepared.text);
  if (prepared.objects.length === 0) return exitStatus.ok;
  tell(`SHA-256 of this text: ${prepared.sha256}`);
  tell(`Nothing was signed. ${made.length === 0 ? 'No key was made.' : `Keys were made in the token, since they did not exist yet: ${made.join(', ')}.`}`);
  if (statements.length > 0) {
    tell(`To be approved by ${prepared.approvals} of ${prepared.officers.map(({ name }) => name).join(', ')}: each reads ${join(approvalsIn(parts.folder), `${prepared.sha256}.txt`)} and signs`);
    for (const statement of statements) tell(`  ${statement}`);
    tell('by `fleetroot ceremony approve`, or by openssl: docs/ceremonies.md');
  }
  return exitStatus.ok;
}

async function hold(parts: PrepareParts, options: RunOptions, { say, tell }: Output, signal: AbortSignal): Promise<number> {
  let signed = 0;
  const held = await holdCeremony({
    ...parts, by: options.by,
    approvals: (prepared) => {
      signed = prepared.objects.length;
      request(parts.folder, prepared);
      return awaitApprovals(prepared, {
        approvals: approvalsIn(parts.folder), by: options.by, signal, say: tell, seconds: options.wait === false ? 0 : options.wait,
      });
    },
  });
  const last = signed === 0 ? undefined : lastTranscript(parts.folder);
  if (options.json) {
    const transcript = last === undefined ? null : { file: last.file, sha256: last.sha256, ceremonyKey: last.facts.ceremonyKey.spkiSha256 };
    say(JSON.stringify({ signed, transcript, ...shown(held) }));
    return exitStatus.ok;
  }
  if (last === undefined) {
    say('Nothing was signed: all of the plan is on record (fleetroot ceremony show)');
    return exitStatus.ok;
  }
  for (const { kind, file, sha256 } of last.facts.out) say(`${titles[kind].padEnd(18)} ${file.padEnd(40)} SHA-256 ${sha256}`);
  say('For the paper of the ceremony:');
  say(`  ${last.file.padEnd(57)} SHA-256 ${last.sha256}`);
  say(`  ${'ceremony key'.padEnd(57)} SHA-256 ${last.facts.ceremonyKey.spkiSha256}`);
  return exitStatus.ok;
}

function lastTranscript(folder: string) {
  const last = ceremonyRecords(folder).transcripts.at(-1);
  return last === undefined ? undefined : { file: last.file, ...verifyTranscript(last.content, last.file) };
}

/** Puts down what the officers need. Returns the path of each officer's statement. */
const request = (folder: string, prepared: PreparedCeremony): string[] =>
  (prepared.approvals === 0 || prepared.objects.length === 0 ? [] : writeRequest(approvalsIn(folder), prepared));

/** The token, with the labels of the keys that are made in it. */
function counting(token: CeremonyToken): { token: CeremonyToken; made: readonly string[] } {
  const made: string[] = [];
  return {
    made,
    token: {
      facts: token.facts, listKeys: () => token.listKeys(), sign: (...given) => token.sign(...given),
      generateKeyPair: (asked) => {
        made.push(asked.label);
        return token.generateKeyPair(asked);
      },
    },
  };
}
