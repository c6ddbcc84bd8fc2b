/** The long inputs of XXH3-128 in WebAssembly with SIMD (kernels/xxh3.ts). */
import { growMemory, instancesOf, once, type WasmMemory } from '../core/wasm.js';
import { XXH3_MODULE } from './xxh3-module.js';

/** The functions of the module. Places and lengths are in bytes. */
interface Xxh3Functions {
  readonly memory: WasmMemory;
  readonly inputStart: () => number;
  readonly hashAt: () => number;
  readonly hashLong: (length: number) => void;
}

/** An instance, and views of its memory. */
interface Xxh3Kernel {
  readonly functions: Xxh3Functions;
  readonly input: Uint8Array;
  readonly hash: Uint8Array;
}

/** Longer inputs are hashed in TypeScript: memory that grew never shrinks. */
const MOST_BYTES = 1024 * 1024;

const instantiate = instancesOf(XXH3_MODULE);

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

/** The kernel of this thread; undefined when the machine cannot run it. */
const kernelHere = once((): Xxh3Kernel | undefined => {
  const functions = instantiate() as Xxh3Functions | undefined;
  if (functions === undefined || !growMemory(functions.memory, MOST_BYTES)) return undefined;
  const { buffer } = functions.memory;
  return {
    functions,
    input: new Uint8Array(buffer, functions.inputStart(), MOST_BYTES),
    hash: new Uint8Array(buffer, functions.hashAt(), 16),
  };
});
