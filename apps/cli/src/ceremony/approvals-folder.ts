import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  type Approval, approvalRequest, approvalStatement, type Officer, parseApproval, parseApprovalRequest, type ToApprove,
} from '@fleetroot/authority';
import { isPkiError, PkiError, replaceFile, utf8 } from '@fleetroot/core';

/**
 * `approvals/` in a folder of ceremonies. For each dry run, named by its SHA-256:
 * - `SHA.txt`: what is to be signed, as text; `sha256sum` gives the SHA-256.
 * - `SHA.json`: title, officers and their public keys.
 * - `SHA-OFFICER.txt`: what the officer signs.
 * - `SHA-OFFICER.json`: the officer's approval.
 * An officer takes the first three away and brings the last one, or a bare signature of the third.
 */
export const approvalsIn = (folder: string): string => join(folder, 'approvals');

/** What is to be approved, and the text that its SHA-256 is of. */
export type DryRun = ToApprove & { readonly text: string };

/** Puts down what the officers need. Returns the path of each officer's statement, in the order of the officers. */
export function writeRequest(approvals: string, dryRun: DryRun): string[] {
  const { title, sha256, officers, text } = dryRun;
  mkdirSync(approvals, { recursive: true, mode: 0o755 });
  replaceFile(join(approvals, `${sha256}.txt`), utf8(text), 0o644);
  replaceFile(join(approvals, `${sha256}.json`), utf8(approvalRequest(dryRun)), 0o644);
  return officers.map(({ name }) => {
    const statement = join(approvals, `${sha256}-${stemOf(officers, name)}.txt`);
    replaceFile(statement, approvalStatement({ title, officer: name, sha256 }), 0o644);
    return statement;
  });
}

/** The request that a statement belongs to, and the text of the dry run where it lies beside it. @throws PkiError `ceremony.invalid` */
export function readRequestFor(statement: string): { toApprove: ToApprove; text: string | undefined } {
  const sha256 = /^([0-9a-f]{64})-/.exec(basename(statement))?.[1];
  if (sha256 === undefined) throw new PkiError('ceremony.invalid', `${statement} is not named as statements are, SHA256-OFFICER.txt: take it as \`fleetroot ceremony run --dry-run\` wrote it`);
  const [request, dryRun] = ['json', 'txt'].map((extension) => join(dirname(statement), `${sha256}.${extension}`)) as [string, string];
  const asked = readText(request);
  if (asked === undefined) throw new PkiError('ceremony.invalid', `${request} is missing: take it along with the statement`);
  const toApprove = parseRequest(asked, request);
  if (toApprove.sha256 !== sha256) throw new PkiError('ceremony.invalid', `${request} is that of another dry run: take it anew`);
  const text = readText(dryRun);
  if (text !== undefined && createHash('sha256').update(text).digest('hex') !== sha256) {
    throw new PkiError('ceremony.invalid', `${dryRun} does not have the SHA-256 in its name: it was changed, approve nothing`);
  }
  return { toApprove, text };
}

/** Every approval of this dry run that lies there, and, a line each, what cannot be read. */
export function readApprovals(approvals: string, sha256: string): { approvals: Approval[]; remarks: string[] } {
  const found: Approval[] = [];
  const remarks: string[] = [];
  for (const file of filesOf(approvals).filter((name) => name.startsWith(`${sha256}-`) && name.endsWith('.json')).sort()) {
    try {
      found.push(parseApproval(readFileSync(join(approvals, file), 'utf8')));
    } catch (error) {
      // It may be on its way here still, over a network or from a stick.
      if (!isPkiError(error) && (error as NodeJS.ErrnoException).code === undefined) throw error;
      remarks.push(`${file}: ${(error as Error).message}`);
    }
  }
  return { approvals: found, remarks };
}

/** Returns where it lies. */
export function writeApproval(approvals: string, officers: readonly Officer[], approval: Approval): string {
  const path = join(approvals, `${approval.sha256}-${stemOf(officers, approval.officer)}.json`);
  replaceFile(path, utf8(`${JSON.stringify(approval, null, 2)}\n`), 0o644);
  return path;
}

/**
 * An officer's name as part of a file's: `Zoë Smith` is `Zoë-Smith`. A long one is cut, for files have at most 255 octets of
 * name. Where two become alike, their number tells them apart.
 */
function stemOf(officers: readonly Officer[], name: string): string {
  const plain = (text: string): string => [...text.replaceAll(/[^\p{L}\p{N}]+/gu, '-')].slice(0, 32).join('');
  const alike = officers.filter((officer) => plain(officer.name).toLowerCase() === plain(name).toLowerCase());
  return alike.length < 2 ? plain(name)
    // A full stop is in no such name.
    : `${plain(name)}.${officers.findIndex((officer) => officer.name === name) + 1}`;
}

function parseRequest(text: string, path: string): ToApprove {
  try {
    return parseApprovalRequest(text);
  } catch (cause) {
    throw new PkiError('ceremony.invalid', `${path} is damaged: take it anew`, { cause });
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
