/** How the command has V8 run it. */
import { setFlagsFromString } from 'node:v8';

/** The engine of Node.js 20. Later ones do not know the flag, would say so on stderr, and need none: they optimise at less cost. */
const ENGINE = '11.3.';
/** Eight times what that engine has. */
const INTERRUPT_BUDGET = 8 * 66 * 1024;

/**
 * Has V8 optimise a function when it has run eight times as long as V8 would wait otherwise. The command runs for a second or
 * so, and what takes time in it stands in WebAssembly and in native code: optimising the rest took 0.3 s of processor time in a
 * first `create` of 307 MB, which it did not save. A library must not do this to the process that it is in; the command owns its own.
 */
export function optimiseLater(): void {
  if (process.versions.v8.startsWith(ENGINE)) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}
