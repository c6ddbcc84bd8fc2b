/** The long inputs of XXH3-128 in WebAssembly with SIMD (kernels/xxh3.ts). */
import { XXH3_MODULE } from './xxh3-module.js';

/** The functions of the module. Places and lengths are in bytes. */
interface Xxh3Functions {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly inputStart: () => number;
  readonly hashAt: () => number;
  readonly hashLong: (length: number) => void;
}

/** What is known of WebAssembly here, where no library of types has it. */
interface WebAssemblyRuntime {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** An instance, and views of its memory. */
interface Xxh3Kernel {
  readonly functions: Xxh3Functions;
  readonly input: Uint8Array;
  readonly hash: Uint8Array;
}

/** Longer inputs are hashed in TypeScript: memory that grew never shrinks. */
const MOST_BYTES = 1024 * 1024;
const PAGE_BYTES = 65_536;

/** The kernel of this thread, once it was asked for; undefined when the machine cannot run it. */
let made: { readonly kernel: Xxh3Kernel | undefined } | undefined;

/**
 * XXH3-128 of more than 240 bytes.
 * @returns 16 bytes that are others after the next call; undefined when the machine has no kernel, or the input is too long for it.
 */
export function xxh3InKernel(bytes: Uint8Array): Uint8Array | undefined {
  const kernel = bytes.length > MOST_BYTES ? undefined : kernelHere();
  if (kernel === undefined) return undefined;
  const { functions, input, hash } = kernel;
  input.set(bytes);
  functions.hashLong(bytes.length);
  return hash;
}

/** Whether this machine runs the kernel. */
export function hasXxh3Kernel(): boolean {
  return kernelHere() !== undefined;
}

function kernelHere(): Xxh3Kernel | undefined {
  made ??= { kernel: newKernel() };
  return made.kernel;
}

/** Undefined without SIMD, or where pages may not compile: TypeScript does the same work. */
function newKernel(): Xxh3Kernel | undefined {
  const runtime = (globalThis as { WebAssembly?: WebAssemblyRuntime }).WebAssembly;
  if (runtime === undefined) return undefined;
  try {
    const module = new runtime.Module(Uint8Array.from(atob(XXH3_MODULE), (char) => char.charCodeAt(0)));
    const functions = new runtime.Instance(module).exports as Xxh3Functions;
    functions.memory.grow(MOST_BYTES / PAGE_BYTES);
    const { buffer } = functions.memory;
    return {
      functions,
      input: new Uint8Array(buffer, functions.inputStart(), MOST_BYTES),
      hash: new Uint8Array(buffer, functions.hashAt(), 16),
    };
  } catch {
    return undefined;
  }
}
