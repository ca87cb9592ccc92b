import type { Command } from 'commander';
import type { MiphaError } from '../errors.js';
import { loadConfig } from '../service/config/config.js';
import { Log } from '../service/log.js';
import { modelLoader } from '../service/model.js';
import { Service } from '../service/service.js';
import { endOnEscape } from './escaped.js';
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
  let service: Service | null = null;
  const reload = () => void service?.reload(); // between two lives the file is read anyway
  process.on('SIGHUP', reload);
  const endEscapes = endOnEscape(() => service);
  try {
    let again = true;
    while (again && !signal.aborted) {
      const loaded = await load();
      service = new Service({ loaded, load, loadModel: modelLoader(SHIPPED_MODEL), log: new Log(loaded.config.log), version: version() });
      again = await live(service, signal);
      service = null;
    }
  } finally {
    process.off('SIGHUP', reload);
    endEscapes();
    release();
  }
}

/** From start to stop; true when it ended in order to begin anew. */
async function live(service: Service, signal: AbortSignal): Promise<boolean> {
  const ended = new Promise<boolean>((resolve, reject) => {
    service.once('restart', () => resolve(true));
    service.once('failed', (error: MiphaError) => reject(error));
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  try {
    const started = service.start();
    started.catch(() => {}); // awaited below, unless the end comes first
    const early = await Promise.race([started.then(() => null), ended]);
    return early ?? (await ended);
  } finally {
    await service.stop();
  }
}
