import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HsmRecord } from '@fleetroot/authority';
import { PkiError } from '@fleetroot/core';

/** Of the processes that had the CA token open. */
const RECORD = /^ca-.*\.log$/;
/** A row of octets: their place, then sixteen of them, then the same as text. */
const OCTETS = /^ {4}[0-9A-F]{8} {2}/;

/**
 * What OpenSC's pkcs11-spy wrote down, a file `ca-*.log` a process that had the CA token open: the input of each C_Sign.
 * @throws PkiError `config.invalid` where the folder holds no such file
 */
export async function readHsmRecord(folder: string): Promise<HsmRecord> {
  const files = namesIn(folder).filter((name) => RECORD.test(name));
  if (files.length === 0) throw new PkiError('config.invalid', `--hsm-record: ${folder} holds no record of pkcs11-spy (ca-*.log)`);
  const record = { signed: new Map<string, number>(), selfTests: new Set<string>(), logins: 0 };
  for (const name of files) await readCalls(join(folder, name), record);
  return record;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw new PkiError('config.invalid', `--hsm-record: ${folder} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

async function readCalls(path: string, record: { readonly signed: Map<string, number>; readonly selfTests: Set<string>; logins: number }): Promise<void> {
  let call = '';
  let input: string | undefined;
  /** What is signed first after a log-in tries a key. */
  let tries = false;
  const ended = (): void => {
    if (input !== undefined && input !== '') {
      record.signed.set(input, (record.signed.get(input) ?? 0) + 1);
      if (tries) record.selfTests.add(input);
      tries = false;
    }
    input = undefined;
  };
  for await (const line of createInterface({ input: createReadStream(path, 'latin1'), crlfDelay: Infinity })) {
    const named = /: (C_\w+)$/.exec(line)?.[1];
    if (input !== undefined && OCTETS.test(line)) {
      input += line.slice(14, 62).replaceAll(' ', '').toLowerCase();
      continue;
    }
    ended();
    if (named !== undefined) {
      call = named;
      if (call === 'C_Login') {
        record.logins++;
        tries = true;
      }
    } else if (call === 'C_Sign' && line.startsWith('[in] pData')) {
      input = '';
    }
  }
  ended();
}
