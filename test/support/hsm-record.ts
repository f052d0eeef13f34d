import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SPY = '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so';
const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so';

/**
 * A PKCS#11 library that records every call to the CA token in `folder`, a file a process, and hands it on to SoftHSM:
 * OpenSC's spy, which takes its settings from the environment, where `up` lets nothing in. The record holds the PIN.
 * undefined where this machine has no spy or no compiler.
 */
export function recordingModule(folder: string): string | undefined {
  if (!existsSync(SPY) || !existsSync(SOFTHSM)) return undefined;
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
  setenv("PKCS11SPY", "${SOFTHSM}", 1);
  setenv("PKCS11SPY_OUTPUT", path, 1);
}`);
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-o', module, join(folder, 'record.c'), '-Wl,--no-as-needed', SPY], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return module;
}

/** What the CA token was given to sign, in hex, and how often. */
export function recordedSignatures(folder: string): Map<string, number> {
  const signed = new Map<string, number>();
  for (const name of readdirSync(folder).filter((each) => each.startsWith('ca-'))) {
    const calls = readFileSync(join(folder, name), 'latin1').matchAll(/: C_Sign\n[^[]*\[in\] hSession[^\n]*\n\[in\] pData[^\n]*\n((?: {4}[0-9A-F]{8} {2}[^\n]*\n)+)/g);
    for (const [, dump = ''] of calls) {
      const input = dump.split('\n').map((row) => row.slice(14, 62).replaceAll(' ', '')).join('').toLowerCase();
      signed.set(input, (signed.get(input) ?? 0) + 1);
    }
  }
  return signed;
}
