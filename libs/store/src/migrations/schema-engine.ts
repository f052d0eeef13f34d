import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import type { SchemaEngine } from '@prisma/schema-engine-wasm';
import { Pool } from 'pg';

/** Tables in other schemas and extensions are not ours to look at. */
export const noFilter = { externalTables: [], externalEnums: [] };

/**
 * The adapter cuts a script at each semicolon and sends the pieces over any connection of its pool. Ours sends it whole:
 * functions stay in one piece, and PostgreSQL runs it as one transaction, so that a migration happens or does not.
 */
class WholeScripts extends PrismaPg {
  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect();
    adapter.executeScript = async (script) => {
      await adapter.underlyingDriver().query(script);
    };
    return adapter;
  }
}

export interface OpenSchemaEngine {
  readonly engine: SchemaEngine;
  /** Ends its connections, and with them the lock that the engine holds for as long as they last. */
  close(): Promise<void>;
}

/**
 * Prisma's schema engine as WebAssembly: the native one would be downloaded, which a plant without internet cannot do.
 * `datamodels` are pairs of file name and content; only comparisons need them.
 */
export async function openSchemaEngine(databaseUrl: string, datamodels?: [string, string][]): Promise<OpenSchemaEngine> {
  const { SchemaEngine: Engine } = await load();
  const pool = new Pool({ connectionString: databaseUrl, max: 2, connectionTimeoutMillis: 10_000 });
  pool.on('error', () => undefined);
  try {
    const engine = await Engine.new({ datamodels }, () => undefined, bindMigrationAwareSqlAdapterFactory(new WholeScripts(pool)));
    return {
      engine,
      async close() {
        engine.free();
        await pool.end();
      },
    };
  } catch (error) {
    await pool.end();
    throw error;
  }
}

interface Wasm {
  instantiate(code: Uint8Array, imports: object): Promise<{ readonly instance: { readonly exports: Readonly<Record<string, () => void>> } }>;
}
/** Node has it; the type definitions that we compile with, which know no browser, do not. */
const { WebAssembly: wasm } = globalThis as unknown as { readonly WebAssembly: Wasm };

type Glue = typeof import('@prisma/schema-engine-wasm') & { __wbg_set_wasm(exports: object): void };

let loaded: Promise<Glue> | undefined;

/** The package's own entry imports the .wasm as a module, which not every Node does. */
function load(): Promise<Glue> {
  return (loaded ??= (async () => {
    const gluePath = '@prisma/schema-engine-wasm/schema_engine_bg';
    const glue = (await import(gluePath)) as Glue;
    const code = await readFile(createRequire(import.meta.url).resolve(gluePath).replace(/\.js$/, '.wasm'));
    const { instance } = await wasm.instantiate(code, { './schema_engine_bg.js': glue });
    glue.__wbg_set_wasm(instance.exports);
    instance.exports['__wbindgen_start']?.();
    return glue;
  })());
}
