import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SPY = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so';
const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

/**
 * A PKCS#11 library that records every call to the CA token in `folder`, a file a process, and hands it on to SoftHSM or
 * another provider: OpenSC's spy, which takes its settings from the environment, where `up` lets nothing in. The record
 * holds the PIN. undefined where this machine has no spy or no compiler.
 */
export function recordingModule(folder: string, provider = SOFTHSM): string | undefined {
  if (!existsSync(SPY) || !existsSync(provider)) return undefined;
  mkdirSync(folder, { mode: 0o700 });
  const module = join(folder, 'record.so');
  writeFileSync(join(folder, 'record.c'), `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void record(void) {
  char path[4096];
  const char *conf = getenv("SOFTHSM2_CONF");
  snprintf(path, sizeof path, "${folder}/%s-%d.log", conf != NULL && strstr(conf, "/ca/") != NULL ? "ca" : "other", (int)getpid());
  setenv("PKCS11SPY", "${provider}", 1);
  setenv("PKCS11SPY_OUTPUT", path, 1);
}`);
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-o', module, join(folder, 'record.c'), '-Wl,--no-as-needed', SPY], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return module;
}

const records = (folder: string, of: 'ca' | 'other'): string[] =>
  readdirSync(folder).filter((name) => name.startsWith(`${of}-`)).map((name) => readFileSync(join(folder, name), 'latin1'));

/** How often a function was called, `C_Login` say. */
export const recordedCalls = (folder: string, name: string, of: 'ca' | 'other' = 'ca'): number =>
  records(folder, of).reduce((sum, record) => sum + [...record.matchAll(new RegExp(`: ${name}$`, 'gm'))].length, 0);

/** The inputs of C_Sign, in hex, in order. */
function signInputs(record: string): string[] {
  const calls = record.matchAll(/: C_Sign\n[^[]*\[in\] hSession[^\n]*\n\[in\] pData[^\n]*\n((?: {4}[0-9A-F]{8} {2}[^\n]*\n)+)/g);
  return Array.from(calls, ([, dump = '']) => dump.split('\n').map((row) => row.slice(14, 62).replaceAll(' ', '')).join('').toLowerCase());
}

/** What the CA token was given to sign, in hex, and how often; `other`: tokens that are not in a folder `ca`. */
export function recordedSignatures(folder: string, of: 'ca' | 'other' = 'ca'): Map<string, number> {
  const signed = new Map<string, number>();
  for (const record of records(folder, of)) {
    for (const input of signInputs(record)) {
      signed.set(input, (signed.get(input) ?? 0) + 1);
    }
  }
  return signed;
}

/** What the signers tried their keys with: of each process that signs by one key, what follows a log-in first. */
export function recordedSelfTests(folder: string, of: 'ca' | 'other' = 'ca'): Set<string> {
  const tests = new Set<string>();
  for (const record of records(folder, of)) {
    for (const part of record.split(/: C_Login\n/).slice(1)) {
      const [first] = signInputs(part);
      if (first !== undefined) tests.add(first);
    }
  }
  return tests;
}
