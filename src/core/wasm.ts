/** WebAssembly, as far as kernels (kernels/) use it. A machine without it, or without SIMD, does the same work in TypeScript. */

/** The memory of an instance. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** What is known of WebAssembly here, where no library of types has it. */
export interface WebAssemblyRuntime {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
}

const PAGE_BYTES = 65_536;

/**
 * Makes instances, each with memory of its own, of a module without imports in base64, which is compiled with the first.
 * @returns a function that gives what an instance exports; undefined without SIMD, or where pages may not compile.
 */
export function instancesOf(base64: string): () => unknown {
  let compiled: object | undefined;
  return () => {
    const runtime = (globalThis as { WebAssembly?: WebAssemblyRuntime }).WebAssembly;
    if (runtime === undefined) return undefined;
    try {
      compiled ??= new runtime.Module(decoded(base64));
      return new runtime.Instance(compiled).exports;
    } catch {
      return undefined;
    }
  };
}

/** Makes something when it is first asked for, and then gives it again; also where there is none. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function decoded(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i); // A step of an iterator takes many times as long.
  return bytes;
}

/** Makes memory larger by so many bytes or a few more. False when the machine gives no more. */
export function growMemory(memory: WasmMemory, bytes: number): boolean {
  try {
    memory.grow(Math.ceil(bytes / PAGE_BYTES));
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
