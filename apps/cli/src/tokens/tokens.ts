import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isPkiError, PkiError, Secret } from '@fleetroot/core';
import { startTokenProcess, type TokenProcess } from '@fleetroot/hsm';
import { readSecret, writeSecret } from '../data-dir/secret-file.ts';

/** The two tokens of a small installation: the CAs' keys, and the status app's own. */
const tokenLabels = { ca: 'fleetroot-ca', ocsp: 'fleetroot-ocsp' } as const;

type TokenName = keyof typeof tokenLabels;

interface PreparedToken {
  readonly tokenLabel: string;
  /** SOFTHSM2_CONF of the processes that may open it, and of no other. */
  readonly softhsmConf: string;
  readonly pin: Secret;
  readonly pinFile: string;
}

export interface PreparedTokens {
  readonly softhsmConf: Readonly<Record<TokenName, string>>;
  readonly ca: PreparedToken;
  readonly ocsp: PreparedToken;
}

const PIN_LENGTH = 24;
/** Without characters that people take for each other. */
const PIN_CHARACTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';

/**
 * Makes sure that both SoftHSM tokens exist, each in a folder and under a configuration of its own (mode 0700), with
 * random PINs in `secrets/` (mode 0600). A second run changes nothing; a run that was cut off is finished. The PINs
 * are on disk before the token is initialised. The caller holds the data folder's lock.
 * @throws PkiError `setup.failed` where one half is there and the other lost; `hsm.pin-incorrect` where a PIN file is
 *   not the token's; `hsm.unavailable` where SoftHSM does not work
 */
export async function ensureTokens(options: { dataDir: string; module: string }): Promise<PreparedTokens> {
  const dataDir = resolve(options.dataDir);
  // The folder itself may be passed through by others: PostgreSQL's own user has its part in it.
  mkdirSync(dataDir, { recursive: true, mode: 0o755 });
  mkdirSync(join(dataDir, 'secrets'), { recursive: true, mode: 0o700 });
  const ca = await ensureToken(dataDir, options.module, 'ca');
  const ocsp = await ensureToken(dataDir, options.module, 'ocsp');
  return { softhsmConf: { ca: ca.softhsmConf, ocsp: ocsp.softhsmConf }, ca, ocsp };
}

async function ensureToken(dataDir: string, module: string, name: TokenName): Promise<PreparedToken> {
  const softhsmConf = writeSofthsmConf(join(dataDir, 'softhsm', name));
  const pinFile = join(dataDir, 'secrets', `${name}-token.pin`);
  const soPinFile = join(dataDir, 'secrets', `${name}-token.so-pin`);
  const tokenLabel = tokenLabels[name];
  const admin = await startTokenProcess({ softhsmConf });
  try {
    const facts = await admin.findToken({ module, label: tokenLabel });
    if (facts?.userPinSet !== true) {
      if (facts === undefined) refuseIfLost(dataDir, name);
      // A token without a user PIN was begun with the PINs in the files: they stay what they are.
      if (facts !== undefined && readPin(soPinFile) === undefined) throw lostFile(soPinFile, tokenLabel, join(dataDir, 'softhsm', name));
      const soPin = ensurePin(soPinFile);
      await admin.initToken({ module, label: tokenLabel, soPin, pin: ensurePin(pinFile) });
    }
    const pin = readPin(pinFile);
    if (pin === undefined) throw lostFile(pinFile, tokenLabel, join(dataDir, 'softhsm', name));
    await tryPin(admin, { module, tokenLabel, pin }, pinFile);
    return { tokenLabel, softhsmConf, pin, pinFile };
  } finally {
    await admin.close();
  }
}

/** One login, so that a wrong PIN file is told here and now, and not by every process that starts. */
async function tryPin(admin: TokenProcess, token: { module: string; tokenLabel: string; pin: Secret }, pinFile: string): Promise<void> {
  try {
    await admin.open(token);
  } catch (error) {
    if (!isPkiError(error) || error.code !== 'hsm.pin-incorrect') throw error;
    throw new PkiError('hsm.pin-incorrect', `${pinFile} does not hold the PIN of the token "${token.tokenLabel}": restore the file`, { cause: error });
  }
}

/** Without this, a CA token that was deleted would be replaced by an empty one without a word. */
function refuseIfLost(dataDir: string, name: TokenName): void {
  if (name !== 'ca' || !existsSync(join(dataDir, 'ceremony', 'ceremony.json'))) return;
  throw new PkiError('setup.failed', `the token "${tokenLabels.ca}" with the keys of the CAs is gone from ${join(dataDir, 'softhsm', 'ca')}: restore that folder from a backup, or start over with another --data-dir`);
}

const lostFile = (file: string, tokenLabel: string, folder: string): PkiError => new PkiError(
  'setup.failed', `the token "${tokenLabel}" exists, but ${file} does not: restore the file, or remove ${folder} if no key in it matters`,
);

function readPin(file: string): Secret | undefined {
  const text = readSecret(file);
  return text === undefined || text === '' ? undefined : new Secret(text);
}

function ensurePin(file: string): Secret {
  const known = readPin(file);
  if (known !== undefined) return known;
  const pin = Array.from({ length: PIN_LENGTH }, () => PIN_CHARACTERS[randomInt(PIN_CHARACTERS.length)]).join('');
  writeSecret(file, pin);
  return new Secret(pin);
}

/** The configuration names the folder by its absolute path: it is written anew where the data folder has moved. */
function writeSofthsmConf(folder: string): string {
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const path = join(folder, 'softhsm2.conf');
  const text = [`directories.tokendir = ${tokens}`, 'objectstore.backend = file', 'log.level = ERROR', 'slots.removable = false'].join('\n');
  if (!existsSync(path) || readFileSync(path, 'utf8').trim() !== text) writeSecret(path, text);
  return path;
}
