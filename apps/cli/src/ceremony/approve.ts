import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Approval, approvalAlgorithm, approvalStatement, type Officer, type ToApprove, verifyApproval } from '@fleetroot/authority';
import { equalBytes, fromBase64, PkiError, systemClock, toBase64 } from '@fleetroot/core';
import { digestOf } from '@fleetroot/x509';
import { readSecret } from '../data-dir/secret-file.ts';
import { readRequestFor, writeApproval } from './approvals-folder.ts';

export interface ApproveOptions {
  readonly statement: string;
  readonly officer: string;
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly signature?: string;
  readonly json: boolean;
}

/**
 * Signs an officer's statement, or takes a signature that was made elsewhere, and puts the approval beside it.
 * @throws PkiError `ceremony.invalid`, `ceremony.not-approved`, `config.invalid`
 */
export function approve(options: ApproveOptions, say: (line: string) => void): { readonly file: string; readonly approval: Approval } {
  if ((options.key === undefined) === (options.signature === undefined)) {
    throw new PkiError('config.invalid', 'give either --key, to sign, or --signature, a signature that was made elsewhere');
  }
  const { toApprove, text } = readRequestFor(options.statement);
  const officer = toApprove.officers.find(({ name }) => name === options.officer);
  if (officer === undefined) {
    throw new PkiError('ceremony.invalid', `${options.officer} is no officer of this ceremony; its officers are ${toApprove.officers.map(({ name }) => name).join(', ')}`);
  }
  const statement = approvalStatement({ ...toApprove, officer: officer.name });
  if (!equalBytes(readFile(options.statement), statement)) {
    throw new PkiError('ceremony.invalid', `${options.statement} is not the statement of ${officer.name}, or was changed: take it as the dry run wrote it`);
  }
  if (text !== undefined) say(text);
  say(new TextDecoder().decode(statement));
  const signature = options.key === undefined
    ? signatureFrom(options.signature ?? '', toApprove, officer)
    : signWith(privateKey(options.key, options.passphraseFile), officer, statement);
  const approval = approvalOf(toApprove, officer, signature);
  return { approval, file: writeApproval(dirname(options.statement), toApprove.officers, approval) };
}

const approvalOf = ({ sha256 }: ToApprove, { name: officer }: Officer, signature: Uint8Array): Approval =>
  ({ officer, sha256, at: systemClock.now().toISOString(), signature: toBase64(signature) });

function signWith(key: KeyObject, officer: Officer, statement: Uint8Array): Uint8Array {
  const spkiDer = new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));
  if (!equalBytes(spkiDer, officer.spkiDer)) throw new PkiError('ceremony.not-approved', `this key is not the one of ${officer.name} in the plan: nothing was signed`);
  return new Uint8Array(sign(digestOf(approvalAlgorithm(officer)) ?? null, statement, key));
}

/** As openssl writes it, or base64 of it. */
function signatureFrom(path: string, toApprove: ToApprove, officer: Officer): Uint8Array {
  const octets = new Uint8Array(readFile(path));
  const decoded = fromBase64(Buffer.from(octets).toString('latin1').replaceAll(/\s+/g, ''));
  const found = [octets, decoded].find((each) => each !== undefined && verifyApproval(toApprove, officer, approvalOf(toApprove, officer, each)));
  if (found !== undefined) return found;
  throw new PkiError('ceremony.not-approved', `${path} is not a signature of ${officer.name} over this statement: it must be made with ${approvalAlgorithm(officer)}, and by the key in the plan`);
}

function privateKey(path: string, passphraseFile: string | undefined): KeyObject {
  const passphrase = passphraseFile === undefined ? undefined : readSecret(passphraseFile);
  if (passphraseFile !== undefined && passphrase === undefined) throw new PkiError('config.invalid', `the passphrase file ${passphraseFile} does not exist`);
  try {
    return createPrivateKey({ key: readFile(path), ...(passphrase === undefined ? {} : { passphrase }) });
  } catch (cause) {
    if (cause instanceof PkiError) throw cause;
    throw new PkiError('config.invalid', `${path} is not a private key in PEM, or its passphrase is another: see --passphrase-file`, { cause });
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new PkiError('config.invalid', `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code ?? 'error'}`, { cause });
  }
}
