import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Return values of PKCS #11, pkcs11t.h. */
export const CKR = {
  CKR_DEVICE_ERROR: 0x30, CKR_DEVICE_REMOVED: 0x32, CKR_KEY_HANDLE_INVALID: 0x60, CKR_OBJECT_HANDLE_INVALID: 0x82,
  CKR_SESSION_HANDLE_INVALID: 0xb3, CKR_TOKEN_NOT_PRESENT: 0xe0, CKR_TOKEN_NOT_RECOGNIZED: 0xe1, CKR_USER_NOT_LOGGED_IN: 0x101,
} as const;

/**
 * A PKCS#11 library before `provider` that does on demand what SoftHSM cannot be brought to do; everything else, and the
 * signatures, are the provider's.
 */
export class HsmShim {
  readonly module: string;
  readonly #folder: string;

  constructor(folder: string, provider: string) {
    this.#folder = folder;
    this.module = join(folder, 'shim.so');
    const source = join(folder, 'shim.c');
    writeFileSync(source, shim(folder, provider));
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', this.module, source, '-ldl']);
  }

  /** Flags that C_GetTokenInfo adds from now on; 0: none. */
  tokenFlags(flags: number): void {
    this.#demand('flags', flags);
  }

  /** The largest key that C_GetMechanismInfo tells from now on. */
  largestKey(bits: number): void {
    this.#demand('bits', bits);
  }

  /** From now on every C_SignInit waits, in every process, until `hang(false)`. */
  hang(on: boolean): void {
    this.#demand('hang', on ? 1 : 0);
  }

  /** The next C_SignInit, once, fails so and starts nothing. */
  failSignInit(value: number): void {
    this.#demand('sign-init', value);
  }

  /** The next C_Sign, once, signs and then says that it failed. */
  failSign(value: number): void {
    this.#demand('sign', value);
  }

  /** Whether the failure that was asked for has happened. */
  get done(): boolean {
    return !['sign-init', 'sign'].some((name) => existsSync(join(this.#folder, name)));
  }

  #demand(name: string, value: number): void {
    const path = join(this.#folder, name);
    if (value === 0) rmSync(path, { force: true });
    else writeFileSync(path, String(value));
  }
}

/** Of the function list only the places of what is changed are known: they are fixed by PKCS #11 2.40, pkcs11f.h. */
const shim = (folder: string, provider: string): string => `
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
typedef unsigned long ulong;
typedef ulong (*fn)();
struct list { unsigned char version[2]; fn f[68]; };
enum { GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, GET_MECHANISM_INFO = 8, SIGN_INIT = 42, SIGN = 43 };
static struct list ours, *theirs;

static ulong demanded(const char *name, int once) {
  char path[4096];
  ulong value = 0;
  snprintf(path, sizeof path, "${folder}/%s", name);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu", &value) != 1) value = 0;
  fclose(file);
  if (once && value != 0) unlink(path);
  return value;
}
static ulong token_info(ulong slot, unsigned char *info) {
  ulong rv = theirs->f[GET_TOKEN_INFO](slot, info), flags;
  if (rv == 0) {
    memcpy(&flags, info + 96, sizeof flags);
    flags |= demanded("flags", 0);
    memcpy(info + 96, &flags, sizeof flags);
  }
  return rv;
}
static ulong mechanism_info(ulong slot, ulong type, ulong *info) {
  ulong rv = theirs->f[GET_MECHANISM_INFO](slot, type, info), bits = demanded("bits", 0);
  if (rv == 0 && bits != 0) info[1] = bits;
  return rv;
}
static ulong sign_init(ulong session, void *mechanism, ulong key) {
  while (demanded("hang", 0) != 0) usleep(20000);
  ulong value = demanded("sign-init", 1);
  return value != 0 ? value : theirs->f[SIGN_INIT](session, mechanism, key);
}
static ulong sign(ulong session, void *data, ulong length, void *out, ulong *size) {
  ulong rv = theirs->f[SIGN](session, data, length, out, size), value = demanded("sign", 1);
  return value != 0 ? value : rv;
}
ulong C_GetFunctionList(struct list **list) {
  void *provider = dlopen("${provider}", RTLD_NOW);
  fn get = provider == NULL ? NULL : (fn)dlsym(provider, "C_GetFunctionList");
  ulong rv = get == NULL ? 5 : get(&theirs);
  if (rv != 0) return rv;
  ours = *theirs;
  ours.f[GET_FUNCTION_LIST] = (fn)C_GetFunctionList;
  ours.f[GET_TOKEN_INFO] = (fn)token_info;
  ours.f[GET_MECHANISM_INFO] = (fn)mechanism_info;
  ours.f[SIGN_INIT] = (fn)sign_init;
  ours.f[SIGN] = (fn)sign;
  *list = &ours;
  return 0;
}`;
