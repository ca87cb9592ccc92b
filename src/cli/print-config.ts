import type { Command } from 'commander';
import { loadConfig } from '../service/config/config.js';
import { settingsOf } from '../service/config/settings.js';
import { assignment } from './options.js';
import { printJson, table } from './output.js';

interface PrintCommand {
  set: [path: string, value: string][];
  redacted: boolean;
  json?: boolean;
}

export function addPrintConfig(program: Command): void {
  program
    .command('print-config')
    .description('Every setting as it would be in force, and where it comes from: file, env, flag or default.')
    .argument('<file>', 'the YAML file')
    .option('--set <path=value>', 'a setting, as often as needed, e.g. http.port=8080', assignment, [])
    .option('--redacted', 'hide all secrets (the default)', true)
    .option('--no-redacted', 'show addresses whole')
    .option('--json', 'print a list of { path, value, origin } as JSON')
    .action(printConfig);
}

async function printConfig(file: string, { set, redacted, json }: PrintCommand): Promise<void> {
  // each row is as it may be shown
  const settings = settingsOf(await loadConfig({ file, flags: set, checkFiles: false }), { redacted });
  if (json) {
    printJson(settings, { redacted: false });
    return;
  }
  const lines = settings.map(({ path, value, origin, source }): [string, string] => [
    path,
    `${JSON.stringify(value)}  # ${origin}${source === undefined ? '' : ` ${source}`}`,
  ]);
  process.stdout.write(`${table(lines)}\n`);
}
