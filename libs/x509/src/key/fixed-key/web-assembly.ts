/** A compiled module; what is in it is its own. */
export interface WasmModule {
  readonly compiled: unique symbol;
}

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

interface WebAssembly {
  /** @throws CompileError where an instruction is not known here */
  readonly Module: new (octets: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports: { readonly env: { readonly memory: WasmMemory } }) => { readonly exports: unknown };
  /** `initial`: pages of 64 KiB. */
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory;
}

/** Node's own; without the DOM's types there are none of it. */
export const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssembly };
