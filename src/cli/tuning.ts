/** How the command has V8 run it. */
import { setFlagsFromString } from 'node:v8';

/** The engine of Node.js 20. Later ones do not know `--interrupt-budget`, would say so on stderr, and need it less: they optimise at less cost. */
const IS_KNOWN = process.versions.v8.startsWith('11.3.');
const USUAL_BUDGET = 66 * 1024;
const OUR_BUDGET = 24 * USUAL_BUDGET;
/** A command that takes longer has V8 mark in steps again: it needs a fifth less memory then. */
const LONG_MS = 2000;

let startingWorkers = 0;
let isTuned = false;
let isLong = false;

/** Has {@link tuneEngine} wait for worker threads that start from now on. */
export function watchWorkers(): void {
  process.on('worker', (worker) => {
    startingWorkers++;
    setFlags();
    worker.once('online', () => {
      startingWorkers--;
      setFlags();
    });
  });
}

/**
 * Has V8 optimise a function when it has run 24 times as long as V8 would wait otherwise. The command runs for a second or
 * so, and what takes time in it stands in WebAssembly and in native code: optimising the rest took 0.3 s of processor time in a
 * first `create` of 307 MB, which it did not save. And has it mark what can be collected in one go, in 10 ms or so, for which nobody waits;
 * in steps and beside the work it took 20 ms more. A library must not do this to the process that it is in; the command owns its own.
 *
 * To be called when most of what Node.js has is loaded: V8 does not take the compiled code that comes with Node.js while a flag is
 * not as it was when that was compiled, and the start of a worker thread then took 20 ms more. So workers start without it.
 */
export function tuneEngine(): void {
  if (!IS_KNOWN || isTuned) return;
  isTuned = true;
  setFlags();
  const onLong = (): void => {
    isLong = true;
    setFlags();
  };
  setTimeout(onLong, LONG_MS).unref();
}

function setFlags(): void {
  if (!isTuned) return;
  const isUsual = startingWorkers > 0;
  setFlagsFromString(`--interrupt-budget=${isUsual ? USUAL_BUDGET : OUR_BUDGET}`);
  setFlagsFromString(isUsual || isLong ? '--incremental-marking' : '--no-incremental-marking');
}
