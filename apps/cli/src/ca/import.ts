import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type CertificationAuthority, heldObjects, type HeldObjects, importAuthority, importCeremony, importCertificate, importCrl,
} from '@fleetroot/authority';
import { type CaName, caName, equalBytes, isPkiError, PkiError, systemClock } from '@fleetroot/core';
import type { Store } from '@fleetroot/store';
import { decodePem, looksLikePem, type ParsedCertificate, parseCertificate, parseCrl } from '@fleetroot/x509';
import { Command, Option } from 'commander';
import { ceremonyFolder } from '../ceremony/hierarchy.ts';
import { withLedger } from '../ledger.ts';
import { type LedgerFlags, ledgerOf, withLedgerFlags } from '../ledger-flags.ts';
import { cliActor } from './actor.ts';
import { listed } from './list.ts';

interface ImportFlags extends LedgerFlags {
  readonly folder?: string;
  readonly offline: boolean;
  readonly state: 'prepared' | 'active';
  readonly certificate?: string;
  readonly name?: string;
  readonly issuerCertificate?: string;
  readonly issuerName?: string;
  readonly crl?: string;
  readonly as?: string;
  readonly json: boolean;
}

const file = (text: string): string => resolve(text);

export function importCommand(): Command {
  return withLedgerFlags(new Command('import'))
    .description('put CAs on record: all that a folder of ceremonies holds, or what was signed elsewhere')
    .option('--folder <folder>', 'folder of ceremonies (default: ceremony/ in the data folder)', file)
    .option('--offline', 'the keys of that folder are in a token of their own: an offline root', false)
    .addOption(new Option('--state <state>', 'of CAs that come on record; a next generation is always prepared').choices(['prepared', 'active']).default('active'))
    .option('--certificate <file>', 'of a CA, signed elsewhere (DER or PEM); its key is found by the requests of the folder', file)
    .option('--name <name>', 'of that CA (default: that of its request)')
    .option('--issuer-certificate <file>', 'of the CA that signed it, where that is not on record', file)
    .option('--issuer-name <name>', 'of that CA')
    .option('--crl <file>', 'of a CA on record whose key is elsewhere (DER or PEM)', file)
    .option('--as <principal>', 'who answers for what a CRL revokes that is on record; without it such a CRL is refused')
    .option('--json', 'for machines', false)
    .action(async (flags: ImportFlags) => {
      const imported = await withLedger(ledgerOf(flags), (store) => importAll(store, flags));
      if (flags.json) console.log(JSON.stringify(imported));
      else for (const line of imported.length === 0 ? ['Nothing to import'] : imported.map(({ name, state, what }) => `${name.padEnd(20)} ${state.padEnd(12)} ${what}`)) console.log(line);
    });
}

interface ImportedLine {
  readonly name: string;
  readonly state: string;
  readonly what: string;
}

async function importAll(store: Store, flags: ImportFlags): Promise<ImportedLine[]> {
  const home = heldObjects(ceremonyFolder(flags.dataDir));
  const folder = flags.folder ?? ceremonyFolder(flags.dataDir);
  const principalId = await answersFor(store, flags.as);
  const options = { actor: cliActor(), clock: systemClock, crls: store.crls, ...(principalId === undefined ? {} : { principalId }) };
  if (flags.certificate === undefined && flags.issuerCertificate === undefined && flags.crl === undefined) {
    const held = withKeys(heldObjects(folder), home, flags.offline);
    const authorities = await importCeremony(store.authorities, store.crls, held, { ...options, state: flags.state });
    return lines(authorities, await store.authorities.all());
  }
  const done: ImportedLine[] = [];
  if (flags.issuerCertificate !== undefined) {
    const certificate = readCertificate(flags.issuerCertificate);
    const name = nameOf(flags.issuerName, '--issuer-name');
    const { authority } = await importAuthority(store.authorities, { certificate: certificate.der, name, state: flags.state }, options);
    done.push({ name, state: authority.state, what: 'issuer, its key is elsewhere' });
  }
  if (flags.certificate !== undefined) done.push(await importSigned(store, readCertificate(flags.certificate), [...ownKeys(home), ...(flags.offline ? [] : ownKeys(heldObjects(folder)))], flags));
  if (flags.crl !== undefined) {
    const crl = der(flags.crl, 'X509 CRL');
    const authority = await issuerOfCrl(store, crl, flags.crl);
    const { crl: { number }, changed, revoked } = await importCrl(store, authority, crl, options);
    const what = [changed ? `CRL ${number} is published` : `CRL ${number} was published before`, ...revoked.map((name) => `${name} is revoked`)].join('; ');
    done.push({ name: authority.name, state: authority.state, what });
  }
  return done;
}

/** A CA's certificate that was signed elsewhere, or one more of a CA on record. */
async function importSigned({ authorities }: Store, certificate: ParsedCertificate, keys: readonly OwnKey[], flags: ImportFlags): Promise<ImportedLine> {
  const options = { actor: cliActor(), clock: systemClock };
  const onRecord = (await authorities.all()).find((ca) => equalBytes(parseCertificate(ca.certificate).spkiDer, certificate.spkiDer));
  if (onRecord !== undefined) {
    const { kind, issuer, changed } = await importCertificate(authorities, onRecord, certificate.der, options);
    return { name: onRecord.name, state: onRecord.state, what: `${kind === 'cross' ? 'cross-certificate' : 'certificate'} by ${issuer.name}${changed ? '' : ', on record before'}` };
  }
  const own = keys.find(({ spkiDer }) => equalBytes(spkiDer, certificate.spkiDer));
  const name = own !== undefined && (flags.name === undefined || flags.name === own.name) ? own.name : nameOf(flags.name, '--name');
  const { authority } = await importAuthority(authorities, { certificate: certificate.der, name, keyId: own?.keyId, state: flags.state }, options);
  return { name, state: authority.state, what: own?.keyId === undefined ? 'its key is elsewhere' : 'its key was made in a ceremony here' };
}

interface OwnKey {
  readonly name: CaName;
  readonly keyId: Uint8Array;
  readonly spkiDer: Uint8Array;
}

/** The keys that ceremonies of the folder made. */
function ownKeys({ requests, authorities }: HeldObjects): OwnKey[] {
  return [
    ...requests.map(({ name, keyId, request }) => ({ name, keyId, spkiDer: request.spkiDer })),
    ...authorities.flatMap(({ name, keyId, certificate }) => (keyId === undefined ? [] : [{ name, keyId, spkiDer: parseCertificate(certificate).spkiDer }])),
  ];
}

/** Keys that ceremonies of the data folder made are the installation's, wherever their certificates were signed. */
function withKeys(held: HeldObjects, home: HeldObjects, offline: boolean): HeldObjects {
  const keys = ownKeys(home);
  const keyOf = (certificate: Uint8Array): Uint8Array | undefined =>
    keys.find(({ spkiDer }) => equalBytes(spkiDer, parseCertificate(certificate).spkiDer))?.keyId;
  return {
    ...held,
    authorities: held.authorities.map((ca) => ({ ...ca, keyId: keyOf(ca.certificate) ?? (offline ? undefined : ca.keyId) })),
  };
}

const lines = (imported: readonly CertificationAuthority[], all: readonly CertificationAuthority[]): ImportedLine[] =>
  listed(all).filter(({ name }) => imported.some((ca) => ca.name === name))
    .map(({ name, state, issuer, keyOnline }) => ({ name, state, what: `${issuer === null ? 'root' : `below ${issuer}`}, key ${keyOnline ? 'online' : 'elsewhere'}` }));

async function issuerOfCrl({ authorities }: Store, crl: Uint8Array, path: string): Promise<CertificationAuthority> {
  const { issuerDer, authorityKeyIdentifier } = parseCrl(crl);
  const found = (await authorities.all()).find((ca) => {
    const { subjectDer, subjectKeyIdentifier } = parseCertificate(ca.certificate);
    return equalBytes(subjectDer, issuerDer) && subjectKeyIdentifier !== undefined && equalBytes(subjectKeyIdentifier, authorityKeyIdentifier);
  });
  if (found === undefined) throw new PkiError('crl.import-refused', `${path} is of no CA on record`);
  return found;
}

async function answersFor({ principals }: Store, name: string | undefined): Promise<number | undefined> {
  if (name === undefined) return undefined;
  const principal = (await principals.all()).find((each) => each.name === name);
  if (principal === undefined) throw new PkiError('config.invalid', `--as takes the name of a principal (fleetroot token list), and ${name} is none`);
  return principal.id;
}

function nameOf(name: string | undefined, option: string): CaName {
  if (name === undefined) throw new PkiError('config.invalid', `say what the CA is to be called here: ${option}`);
  return caName(name);
}

const readCertificate = (path: string): ParsedCertificate => parseCertificate(der(path, 'CERTIFICATE'));

/** One object, DER or PEM. */
function der(path: string, label: string): Uint8Array {
  const content = readOctets(path);
  const text = Buffer.from(content).toString('latin1');
  if (!looksLikePem(text)) return content;
  try {
    const blocks = decodePem(text, 'config.invalid').filter((block) => block.label === label);
    if (blocks.length === 1 && blocks[0] !== undefined) return blocks[0].der;
  } catch (cause) {
    if (!isPkiError(cause)) throw cause;
    throw new PkiError('config.invalid', `${path}: ${cause.message}`, { cause });
  }
  throw new PkiError('config.invalid', `${path} must hold exactly one ${label}`);
}

function readOctets(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new PkiError('config.invalid', `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`, { cause });
  }
}
