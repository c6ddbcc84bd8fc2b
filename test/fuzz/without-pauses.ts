/** Readers that wait for a writer to finish a page wait for nobody here: a million inputs would take weeks. */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';

/** From now on `setTimeout` of `node:timers/promises` does not wait, in this thread. */
export function withoutPauses(): void {
  (timers as { setTimeout: unknown }).setTimeout = async () => {};
  syncBuiltinESMExports();
}
