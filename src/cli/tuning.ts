/** How the command has V8 run it. */
import { setFlagsFromString } from 'node:v8';

/** The engines of Node.js 20, 22 and 24. Others might not know the flag, and would say so on stderr. */
const KNOWN_ENGINES = /^(?:11\.3|12\.4|13\.6)\./;
/** Eight times what these engines have. */
const INTERRUPT_BUDGET = 8 * 66 * 1024;

/**
 * Has V8 optimise a function when it has run eight times as long as V8 would wait otherwise. The command runs for a second or
 * so, and what takes time in it stands in WebAssembly and in native code: optimising the rest took more processor time than it
 * saved. A library must not do this to the process that it is in; the command owns its own.
 */
export function optimiseLater(): void {
  if (KNOWN_ENGINES.test(process.versions.v8)) setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
}
