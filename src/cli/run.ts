import type { Command } from 'commander';
import type { MiphaError } from '../errors.js';
import { type LoadedConfig, loadConfig } from '../service/config.js';
import { Log } from '../service/log.js';
import { modelLoader } from '../service/model.js';
import { Service } from '../service/service.js';
import { interruption } from './failure.js';
import { assignment, SHIPPED_MODEL, version } from './options.js';

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
      `
Examples:
  mipha run --config /etc/mipha/config.yaml
  mipha run --set node=kitchen-1 --set cameras.kitchen.uri=synthetic://kitchen

mipha check-config tells what is wrong with a configuration, docs/configuration.md what may stand in one.`,
    )
    .action(run);
}

async function run({ config: file, set: flags }: RunCommand): Promise<void> {
  const load = () => loadConfig({ ...(file === undefined ? {} : { file }), env: process.env, flags });
  const { signal, release } = interruption();
  try {
    let again = true;
    while (again && !signal.aborted) again = await serve(await load(), load, signal);
  } finally {
    release();
  }
}

/** One life of the node; true when it ended in order to begin anew. */
async function serve(loaded: LoadedConfig, load: () => Promise<LoadedConfig>, signal: AbortSignal): Promise<boolean> {
  const service = new Service({ loaded, load, loadModel: modelLoader(SHIPPED_MODEL), log: new Log(loaded.config.log), version: version() });
  const ended = new Promise<boolean>((resolve, reject) => {
    service.once('restart', () => resolve(true));
    service.once('failed', (error: MiphaError) => reject(error));
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  const reload = () => void service.reload();
  process.on('SIGHUP', reload);
  try {
    const started = service.start();
    started.catch(() => {}); // awaited below, unless the end comes first
    const early = await Promise.race([started.then(() => null), ended]);
    return early ?? (await ended);
  } finally {
    await service.stop();
    process.off('SIGHUP', reload);
  }
}
