import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { redactor } from '../redact.js';
import { loadConfig } from '../service/config/config.js';
import { issueLines, issuesIn, withKeptOverrides } from './config-lines.js';
import { EXIT_FAILURE } from './failure.js';
import { assignment } from './options.js';
import { notes, print, printJson } from './output.js';

interface CheckCommand {
  as: string;
  set: [path: string, value: string][];
  json?: boolean;
}

export function addCheckConfig(program: Command): void {
  program
    .command('check-config')
    .description('Whether a node can start with this configuration; if not, everything that is wrong with it. Exit code 1 then.')
    .argument('<file>', 'the YAML file; - reads it from stdin')
    .option('--as <file>', 'with -: the file that it would stand in, for relative paths in it', 'stdin')
    .option('--set <path=value>', 'a setting, as often as needed, e.g. http.port=8080', assignment, [])
    .option('--json', 'print the result as JSON')
    .addHelpText('after', notes('\nVariables MIPHA_CONFIG_… of the environment count as they do for mipha run.'))
    .action(checkConfig);
}

async function checkConfig(given: string, { as, set, json }: CheckCommand): Promise<void> {
  const [file, input] = given === '-' ? [as, await text(process.stdin)] : [given, undefined];
  try {
    const { config, warnings } = await withKeptOverrides(await loadConfig({ file, text: input, flags: set }));
    if (json) printJson({ ok: true, issues: [], warnings });
    else {
      for (const warning of warnings) process.stderr.write(redactor.text(`warning: ${warning}\n`));
      const [cameras, watches] = [config.cameras, config.watches].map((part) => Object.keys(part).length) as [number, number];
      print(`${file} is right: node ${config.node}, ${count(cameras, 'camera')}, ${count(watches, 'watch', 'es')}\n`);
    }
  } catch (error) {
    const issues = issuesIn(error);
    if (issues.length === 0) throw error;
    if (json) printJson({ ok: false, issues, warnings: [] });
    else print(`${issues.map(issueLines).join('\n')}\n\n${file}: ${count(issues.length, 'problem')}\n`);
    process.exitCode = EXIT_FAILURE;
  }
}

function count(number: number, word: string, plural = 's'): string {
  return `${number} ${word}${number === 1 ? '' : plural}`;
}
