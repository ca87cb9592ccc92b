/** `mipha`: one command per file, each thin. */
import { Command } from 'commander';
import { redactor } from '../redact.js';
import { addAsk } from './ask.js';
import { addBench } from './bench.js';
import { addBuild } from './build.js';
import { addCalibrate } from './calibrate.js';
import { addCheckConfig } from './check-config.js';
import { addConvert } from './convert.js';
import { addDemo } from './demo.js';
import { addDoctor } from './doctor.js';
import { addDropOverrides } from './drop-overrides.js';
import { report, watchOutput } from './failure.js';
import { learnArgument, version } from './options.js';
import { addPrintConfig } from './print-config.js';
import { addRun } from './run.js';
import { addSchema } from './schema.js';

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
for (const add of [
  addAsk,
  addRun,
  addConvert,
  addCalibrate,
  addBuild,
  addDoctor,
  addBench,
  addDemo,
  addCheckConfig,
  addPrintConfig,
  addDropOverrides,
  addSchema,
])
  add(program);

let command = ''; // that runs
program.hook('preAction', (_, action) => {
  command = action.name();
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
