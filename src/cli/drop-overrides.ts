import type { Command } from 'commander';
import { MiphaError } from '../errors.js';
import { loadConfig } from '../service/config/config.js';
import { dropOverrides, withOverrides } from '../service/config/overrides.js';
import { StateDir } from '../service/state/state-dir.js';
import { assignment } from './options.js';
import { printJson } from './output.js';

interface DropCommand {
  config: string;
  set: [path: string, value: string][];
  json?: boolean;
}

export function addDropOverrides(program: Command): void {
  program
    .command('drop-overrides')
    .description('Undo what was changed over MQTT: settings follow the file again. While the node is stopped; a running one takes overrides/drop.')
    .argument('[paths...]', 'settings, e.g. watches.door or log.level; without any: all')
    .requiredOption('--config <file>', 'the YAML file of the node')
    .option('--set <path=value>', 'a setting, as often as needed, as it is given to mipha run', assignment, [])
    .option('--json', 'print the result as JSON')
    .action(drop);
}

async function drop(paths: string[], { config: file, set, json }: DropCommand): Promise<void> {
  const loaded = await loadConfig({ file, flags: set, checkFiles: false });
  const { state_dir: folder } = loaded.config;
  if (folder === undefined) throw new MiphaError('ERR_CONFIG', `${file} has no state_dir: overrides end with the process`);
  const stateDir = new StateDir(folder, { onWarning: (text) => process.stderr.write(`mipha: ${text}\n`) });
  try {
    await stateDir.open();
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_BUSY') throw error;
    throw new MiphaError('ERR_BUSY', `${error.message}: ask the running node with the request overrides/drop, or stop it first`, { cause: error });
  }
  try {
    const { overrides, source } = stateDir;
    const { rest, dropped } = dropOverrides(overrides, paths.length === 0 ? undefined : paths);
    for (const warning of withOverrides(loaded, rest, source).warnings) process.stderr.write(`mipha: ${warning}\n`);
    if (dropped.length > 0 && !(await stateDir.keep(rest))) throw new MiphaError('ERR_CONFIG', `${source} could not be written`);
    if (json) printJson({ dropped });
    else process.stdout.write(dropped.length === 0 ? 'there are no overrides\n' : `${dropped.map((path) => `dropped ${path}`).join('\n')}\n`);
  } finally {
    await stateDir.close();
  }
}
