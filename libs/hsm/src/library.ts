import { Module } from 'graphene-pk11';
import pkcs11, { PKCS11 } from 'pkcs11js';
import { fromCryptoki } from './cryptoki-error.ts';

interface Library {
  readonly lib: PKCS11;
  readonly module: Module;
  users: number;
}

/** C_Initialize and C_Finalize count for the whole process: one library object a path, ended by its last user. */
const open = new Map<string, Library>();

export interface LibraryUse {
  readonly lib: PKCS11;
  readonly module: Module;
  release(): void;
}

/** The initialised library. @throws PkiError `hsm.unavailable` where it cannot be loaded or initialised */
export function useLibrary(path: string): LibraryUse {
  const library = open.get(path) ?? initialise(path);
  library.users++;
  let held = true;
  return {
    lib: library.lib,
    module: library.module,
    release: () => {
      if (!held) return;
      held = false;
      if (--library.users > 0) return;
      open.delete(path);
      try {
        library.module.finalize();
      } catch {
        // The HSM is gone; there is nothing left to end.
      }
    },
  };
}

function initialise(path: string): Library {
  try {
    const lib = new PKCS11();
    lib.load(path);
    const module = new Module(lib);
    module.initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    const library = { lib, module, users: 0 };
    open.set(path, library);
    return library;
  } catch (error) {
    throw fromCryptoki(error, `loading the PKCS#11 library ${path}`);
  }
}
