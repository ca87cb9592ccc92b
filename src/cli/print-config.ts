import type { Command } from 'commander';
import { redactor } from '../redact.js';
import { loadConfig } from '../service/config/config.js';
import { type SettingRow, settingsOf } from '../service/config/settings.js';
import { withKeptOverrides } from './config-lines.js';
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
    .description('Every setting as it would be in force, and where it comes from: file, env, flag, mqtt (an override) or default.')
    .argument('<file>', 'the YAML file')
    .option('--set <path=value>', 'a setting, as often as needed, e.g. http.port=8080', assignment, [])
    .option('--redacted', 'hide all secrets (the default)', true)
    .option('--no-redacted', 'show addresses whole')
    .option('--json', 'print a list of { path, value, origin, source, over } as JSON')
    .action(printConfig);
}

async function printConfig(file: string, { set, redacted, json }: PrintCommand): Promise<void> {
  const loaded = await withKeptOverrides(await loadConfig({ file, flags: set, checkFiles: false }));
  for (const warning of loaded.warnings) process.stderr.write(redactor.text(`warning: ${warning}\n`));
  const settings = settingsOf(loaded, { redacted }); // each row is as it may be shown
  if (json) printJson(settings, { redacted: false });
  else process.stdout.write(`${table(settings.map(({ path, value, ...row }) => [path, `${JSON.stringify(value)}  # ${origin(row)}`]))}\n`);
}

function origin({ origin: name, source, over }: Omit<SettingRow, 'path' | 'value'>): string {
  const hidden = over === undefined ? '' : `, over ${JSON.stringify(over.value)} of ${over.source}`;
  return `${name}${source === undefined ? '' : ` ${source}`}${hidden}`;
}
