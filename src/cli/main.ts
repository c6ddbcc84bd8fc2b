#!/usr/bin/env node
/** The `vecsnap` command. */
import { loadAtOnce } from './loading.js';

loadAtOnce(['./program.js']);
const { runProgram } = await import('./program.js');

// Not process.exit, which would cut off output that is still on its way to a pipe.
process.exitCode = await runProgram(process.argv.slice(2));
