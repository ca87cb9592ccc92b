import { resolve } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../service/config/config.js';
import { Lives } from '../service/lives.js';
import { modelLoader, modelProver } from '../service/model/model.js';
import { releaseSignals } from './early-signals.js';
import { endOnEscape } from './escaped.js';
import { interruption } from './failure.js';
import { assignment, SHIPPED_MODEL, version } from './options.js';
import { notes } from './output.js';
import { pageSetup } from './page-setup.js';

interface RunCommand {
  config?: string;
  set: [path: string, value: string][];
}

export function addRun(program: Command): void {
  program
    .command('run')
    .description('Watch the cameras of a configuration and talk MQTT, until SIGTERM or Ctrl-C. SIGHUP reads the configuration again.')
    .option('--config <file>', 'YAML; environment variables MIPHA_CONFIG_… and --set go over it')
    .option('--set <path=value>', 'a setting, as often as needed, e.g. mqtt.url=mqtt://127.0.0.1:1883', assignment, [])
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha run --config /etc/mipha/config.yaml
  mipha run --set node=kitchen-1 --set cameras.kitchen.uri=synthetic://kitchen

mipha check-config tells what is wrong with a configuration, docs/configuration.md what may stand in one.`),
    )
    .action(run);
}

async function run({ config: file, set: flags }: RunCommand): Promise<void> {
  const { signal, release } = interruption();
  const lives = new Lives({
    load: () => loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags }),
    loadModel: modelLoader(SHIPPED_MODEL),
    proveModel: modelProver(SHIPPED_MODEL),
    version: version(),
    page: pageSetup([...(file === undefined ? [] : ['--as', resolve(file)]), ...flags.flatMap(([path, value]) => ['--set', `${path}=${value}`])]),
    signal,
  });
  const reload = () => void lives.reload();
  process.on('SIGHUP', reload);
  const endEscapes = endOnEscape(() => lives.service);
  process.removeAllListeners('warning').on('warning', (warning) => lives.warn(warning));
  releaseSignals();
  try {
    await lives.run();
  } finally {
    process.off('SIGHUP', reload);
    endEscapes();
    release();
  }
}
