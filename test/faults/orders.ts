import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CrashPoint } from '@fleetroot/core';
import type { RoleName } from './site.ts';

/** What a test orders the product's processes to do, through crash-arm.mjs. */
export class Orders {
  readonly folder: string;
  #count = 0;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** One process dies at its `nth` arrival at the point. Tells whether it has. */
  crash(point: CrashPoint, nth: number): () => boolean {
    const id = `${point}-${++this.#count}`;
    writeFileSync(join(this.folder, `arm.${point}`), `${id} ${nth}`);
    return () => existsSync(join(this.folder, `fired.${id}`));
  }

  /** Takes the order back, where it was not carried out. */
  withdraw(point: CrashPoint): void {
    rmSync(join(this.folder, `arm.${point}`), { force: true });
  }

  /** The clock of the role's processes is wrong by so much from now on; 0: right again. */
  clock(role: RoleName, milliseconds: number): void {
    writeFileSync(join(this.folder, `clock.${role}`), String(milliseconds));
  }
}
