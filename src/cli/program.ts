/** Reads the command line, runs the command, prints what it did, and says how the process ends. */
import { readFileSync } from 'node:fs';
import type { Command, CommanderError } from 'commander';
import type { Call, CliCommand, ListedCommand, Outcome } from './command.js';
import { COMMANDS, nameOf } from './commands.js';
import { EXIT } from './exit-codes.js';
import type { Failure } from './failure.js';
import { watchSignals } from './interrupt.js';
import { loadCodeFor, loadDefinition } from './loading.js';
import { commander } from './packages.js';
import type { ProgressBar } from './progress-bar.js';
import { printable, printableJson } from './text.js';

/** Loads what is needed only when something fails. */
const loadFailure = () => import('./failure.js');

/** Runs one command line. @returns the exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
  ignoreClosedPipes();
  const json = args.includes('--json');
  let exitCode: number = EXIT.done;
  const program = await buildProgram(args, async (definition, command) => {
    exitCode = await runCommand(definition, command, json);
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof commander.CommanderError) return endOfParsing(error, program, args, json);
    const { failureOf } = await loadFailure();
    return reportFailure(await failureOf(error, 'vecsnap'), json);
  }
}

type RunCommand = (definition: CliCommand, command: Command) => Promise<void>;

/**
 * The command line; of the commands, only those that are named in `args` are loaded. Where the first argument names one, nothing can
 * come of the others, so they are not even told to commander.
 */
async function buildProgram(args: readonly string[], run: RunCommand): Promise<Command> {
  const program = new commander.Command('vecsnap');
  program
    .description('Space-efficient, verifiable snapshots of vector databases and vector files.')
    .version(
      args.some((arg) => VERSION_FLAGS.has(arg)) ? ownVersion() : '',
      '-V, --version',
      'print the version',
    )
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [COMMAND]', 'show help for a command')
    .addHelpText('after', TOP_HELP);
  quiet(program);
  const meant = COMMANDS.filter((listed) => nameOf(listed) === args[0]);
  for (const listed of meant.length > 0 ? meant : COMMANDS) {
    const isNamed = args.includes(nameOf(listed));
    const command = quiet(program.command(isNamed ? nameOf(listed) : listed.signature));
    command.description(listed.summary).helpOption('-h, --help', 'show help');
    if (isNamed) await defineCommand(command, listed, run);
  }
  return program;
}

const VERSION_FLAGS: ReadonlySet<string> = new Set(['-V', '--version']);

/** Errors are thrown, and told here instead of by commander. */
function quiet(command: Command): Command {
  return command.exitOverride().configureOutput({ outputError: () => undefined });
}

async function defineCommand(command: Command, listed: ListedCommand, run: RunCommand): Promise<void> {
  loadDefinition(nameOf(listed));
  const definition = (await listed.load()) as CliCommand;
  definition.configure(command);
  command
    .option('--json', 'print JSON on stdout, and errors as JSON on stderr')
    .addHelpText('after', commandHelp(definition))
    .action(() => run(definition, command));
}

async function runCommand(definition: CliCommand, command: Command, json: boolean): Promise<number> {
  const bar = process.stderr.isTTY && !json ? await newProgressBar() : undefined;
  const warn = (message: string): void => {
    bar?.stop();
    process.stderr.write(
      json ? `${printableJson({ warning: message })}\n` : `vecsnap: ${printable(message)}\n`,
    );
  };
  const interruption = watchSignals(definition.onInterrupt, warn);
  const call: Call = { signal: interruption.signal, onProgress: bar?.listener, warn };
  (await import('./tuning.js')).watchWorkers(); // Loaded with the command, but not to tell the version.
  const ended = new AbortController();
  try {
    definition.startEarly?.(command.processedArgs as unknown[], ended.signal);
    loadCodeFor(command.name());
    const outcome = await definition.run(call, command.processedArgs as unknown[], command.opts());
    bar?.stop();
    printOutcome(outcome, json);
    return outcome.exitCode ?? EXIT.done;
  } catch (error) {
    bar?.stop();
    const { failureOf } = await loadFailure();
    const failure = await failureOf(error, `vecsnap ${command.name()}`);
    return await reportFailure(
      failure,
      json,
      failure.code === 'ABORTED' ? interruption.exitCode() : undefined,
    );
  } finally {
    ended.abort();
    interruption.stopWatching();
  }
}

function printOutcome({ value, text }: Outcome, json: boolean): void {
  if (value === undefined) return; // It was printed as it came.
  const output = json ? printableJson(value, 2) : text();
  if (output !== '') process.stdout.write(`${output}\n`);
}

async function newProgressBar(): Promise<ProgressBar> {
  const { progressBar } = await import('./progress-bar.js');
  return progressBar(process.stderr);
}

async function reportFailure(
  failure: Failure,
  json: boolean,
  exitCode: number = failure.exitCode,
): Promise<number> {
  const { failureJson, failureText } = await loadFailure();
  process.stderr.write(`${json ? failureJson(failure) : failureText(failure)}\n`);
  return exitCode;
}

/** Help and the version end the parsing too, and so does a wrong command line. */
async function endOfParsing(
  error: CommanderError,
  program: Command,
  args: readonly string[],
  json: boolean,
): Promise<number> {
  if (error.exitCode === 0) return EXIT.done;
  if (error.code === 'commander.help') return EXIT.usage; // No command: commander has shown help.
  const { usageFailure } = await loadFailure();
  const command = program.commands.find((one) => args.includes(one.name()));
  const help = command === undefined ? 'vecsnap' : `vecsnap ${command.name()}`;
  return reportFailure(usageFailure(error.message.replace(/^error: /, '').replaceAll('\n', ' '), help), json);
}

/** A reader that has had enough, such as `head`, is no failure. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return;
      process.exitCode = EXIT.failed;
      if (stream === process.stdout)
        process.stderr.write(`vecsnap: cannot write the output: ${error.message}\n`);
    });
  }
}

function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function commandHelp({ examples, notes }: CliCommand): string {
  const shown = examples.flatMap(([line, what]) => [`  ${line}`, `      ${what}`]);
  return ['', 'Examples:', ...shown, ...(notes === undefined ? [] : ['', notes])].join('\n');
}

const TOP_HELP = `
The main job:
  vecsnap init repo                                 make a repository
  vecsnap create repo vectors.fbin                  take a snapshot; later ones add only what changed
  vecsnap list repo                                 see what there is and what each added
  vecsnap restore repo latest out.fbin              get it back, byte for byte
  vecsnap verify repo                               check every byte
  vecsnap forget repo --keep-last 7 && vecsnap gc repo
                                                    drop old snapshots and give their space back

REPO is a directory.
SNAP is the id of a snapshot, six or more characters of its end, a name (the newest of that name), or latest.
The newest is one that is dated in the future only where there is no other.
SOURCE and TARGET are scheme:location, for example npy:vectors.npy, or a path that tells its format by its content or ending.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damage found; 130 and 143 after Ctrl-C and SIGTERM.
Results go to stdout, everything else to stderr. With --json, stdout holds one JSON value, or nothing after an error, and
stderr one JSON object a line: {"warning": …} or {"error": {"code", "message", "place", "remedy"}}.

vecsnap COMMAND --help shows examples for each command.`;
