/** `mipha`: one command per file, each thin. */
import { Command } from 'commander';
import { redactor } from '../redact.js';
import { report, watchOutput } from './failure.js';
import { learnArgument, version } from './options.js';

/** In the order of --help. Only the file of the command that runs is loaded: all of them take as long as the work of the small ones. */
const COMMANDS = {
  ask: async () => (await import('./ask.js')).addAsk,
  run: async () => (await import('./run.js')).addRun,
  serve: async () => (await import('./serve.js')).addServe,
  pool: async () => (await import('./pool.js')).addPool,
  fleet: async () => (await import('./fleet.js')).addFleet,
  model: async () => (await import('./model.js')).addModel,
  convert: async () => (await import('./convert.js')).addConvert,
  calibrate: async () => (await import('./calibrate.js')).addCalibrate,
  build: async () => (await import('./build.js')).addBuild,
  eval: async () => (await import('./eval.js')).addEval,
  label: async () => (await import('./label.js')).addLabel,
  replay: async () => (await import('./replay.js')).addReplay,
  doctor: async () => (await import('./doctor.js')).addDoctor,
  bench: async () => (await import('./bench.js')).addBench,
  demo: async () => (await import('./demo.js')).addDemo,
  'check-config': async () => (await import('./check-config.js')).addCheckConfig,
  'print-config': async () => (await import('./print-config.js')).addPrintConfig,
  'drop-overrides': async () => (await import('./drop-overrides.js')).addDropOverrides,
  cameras: async () => (await import('./cameras.js')).addCameras,
  mask: async () => (await import('./mask.js')).addMask,
  schema: async () => (await import('./schema.js')).addSchema,
};

/** How long an error message waits for somebody to read it. */
const UNREAD_MS = 2000;

// exitOverride() before the commands are added: they inherit it
const program = new Command('mipha')
  .description('Ask pictures questions with a Mipha vision-language model in INT8, on this machine.')
  .version(version())
  .option('--verbose', 'show the stack of an error')
  .showHelpAfterError('(--help shows the options)')
  .configureOutput({ writeErr: (text) => process.stderr.write(redactor.text(text)) })
  .exitOverride();
for (const name of namesOf(process.argv.slice(2))) (await COMMANDS[name]())(program);

let command = ''; // that runs
program.hook('preAction', (_, action) => {
  command = action.parent === program || action.parent === null ? action.name() : `${action.parent.name()} ${action.name()}`;
});

// an address that is misplaced is quoted too
for (const argument of process.argv.slice(2)) learnArgument(argument);
watchOutput();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error, program.opts<{ verbose?: boolean }>().verbose === true, command);
  setTimeout(() => process.exit(), UNREAD_MS).unref(); // a pipe that nobody reads would keep the process
}

/** What must be known to understand these arguments: one command, for help and for names that are none of them all. */
function namesOf(given: string[]): (keyof typeof COMMANDS)[] {
  const all = Object.keys(COMMANDS) as (keyof typeof COMMANDS)[];
  const first = given.find((argument) => !argument.startsWith('-'));
  const named = all.filter((name) => name === first);
  if (named.length > 0) return named;
  return given.length === 1 && ['-V', '--version'].includes(given[0] as string) ? [] : all;
}
