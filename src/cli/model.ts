import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { MiphaError, optionError } from '../errors.js';
import { loadConfig } from '../service/config/config.js';
import { modelsFolderOf } from '../service/config/models-folder.js';
import { checkSpace, releaseAt } from '../update/bring.js';
import { privateKeyOf, publicTextOf } from '../update/keys.js';
import { ModelsFolder, outcomeOf } from '../update/models-folder.js';
import { refused } from '../update/refused.js';
import { isReleaseName, RELEASE_WORDS, signPackage } from '../update/release.js';
import { anySource } from '../update/source.js';
import { interruption } from './failure.js';
import { type Handover, handOver } from './model-handover.js';
import { assignment } from './options.js';
import { bytes, notes, ProgressBar, print, printJson } from './output.js';
import { columnsOf } from './pool.js';

interface NodeFlags {
  config: string;
  set: [path: string, value: string][];
  json?: boolean;
}

const ASK_MS = 20_000;

export function addModel(program: Command): void {
  const model = program.command('model').description('Install models on this machine, take them back, and sign them for others.');
  const onNode = (command: Command) =>
    command
      .requiredOption('--config <file>', 'the YAML file of the node')
      .option('--set <path=value>', 'a setting, as often as needed, as it is given to mipha run', assignment, [])
      .option('--json', 'print the result as JSON');
  onNode(model.command('list').description('What is installed, what serves, and what a rollback would bring back.')).action(list);
  onNode(
    model
      .command('install')
      .description('Fetch a signed release, check it, and have the node put it in the place of its model: now if it runs, else when it starts.')
      .argument('<source>', 'a folder or an https address with release.json in it'),
  )
    .option('--sha256 <digits>', 'of its release.json, which stands for the whole')
    .addHelpText(
      'after',
      notes(`
The node tests it before it serves: its golden answers, then the labelled answers on record. What served before is kept for mipha model rollback.

Examples:
  mipha model install /media/stick/mipha-3b-2 --config /etc/mipha/mipha.yaml
  mipha model install https://models.example/mipha-3b-2 --config a.yaml`),
    )
    .action(install);
  onNode(model.command('rollback').description('Go back to what served before: now if the node runs, else when it starts.')).action(rollback);
  onNode(model.command('prune').description('Remove what neither serves nor would by a rollback, and what was not fetched to its end.')).action(
    prune,
  );
  model
    .command('sign')
    .description('Make a release of a package: checks every file, then writes release.json and release.sig beside them.')
    .argument('<package>', 'folder of the package')
    .requiredOption('--key <file>', 'Ed25519 private key in PEM: openssl genpkey -algorithm ed25519 -out FILE')
    .requiredOption('--release <name>', `what it is called: ${RELEASE_WORDS}`)
    .option('--json', 'print the result as JSON')
    .action(sign);
}

async function modelsOf({ config: file, set }: NodeFlags): Promise<{ models: ModelsFolder; stateDir: string; ca: Buffer | undefined }> {
  const { config } = await loadConfig({ file, flags: set, checkFiles: false });
  const { updates, folder = null } = config.model;
  const path = modelsFolderOf(config);
  if (path === undefined || updates.keys.length === 0) {
    throw new MiphaError(
      'ERR_CONFIG',
      `${file}: model.updates.keys names no key that vouches for models, so none can be installed (docs/upgrade.md)`,
    );
  }
  const ca = updates.ca_file === undefined ? undefined : await readFile(updates.ca_file);
  const models = new ModelsFolder(path, folder, updates.keys, (message) => process.stderr.write(`mipha: ${message}\n`));
  return { models, stateDir: config.state_dir as string, ca };
}

async function list(flags: NodeFlags): Promise<void> {
  const { models } = await modelsOf(flags);
  const [all, state] = [await models.list(), await models.state()];
  const roleOf = (id: string) =>
    id === state.active
      ? state.trial === null
        ? 'serves'
        : 'on trial'
      : id === state.previous
        ? 'before'
        : id === state.wanted
          ? 'waits for the node'
          : '';
  const rows = all.map(({ id, release, problem }) => ({
    id,
    release: release?.release ?? null,
    model: release?.model ?? null,
    role: roleOf(id),
    bytes: release?.bytes ?? null,
    problem,
  }));
  if (flags.json) return printJson({ active: state.active, previous: state.previous, releases: rows, last: state.last });
  const own = state.active === null ? 'serves' : state.previous === null ? 'before' : '';
  const lines = columnsOf([
    ['(configuration)', '', '', own, ''],
    ...rows.map(({ id, release, model, role, bytes: size, problem }) => [
      release ?? id,
      model ?? '',
      size === null ? '' : bytes(size),
      role,
      problem ?? '',
    ]),
  ]);
  print(`${lines.join('\n')}\n${state.last === null ? '' : `${state.last.at}: ${state.last.message}\n`}`);
}

async function install(source: string, flags: NodeFlags & { sha256?: string }): Promise<void> {
  const { sha256, json } = flags;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) throw optionError('sha256', '64 hexadecimal digits', sha256);
  const { models, stateDir, ca } = await modelsOf(flags);
  const { signal, release: letGo } = interruption();
  const bar = new ProgressBar();
  try {
    const from = await anySource(source, { ca });
    const release = await releaseAt(from, models.keys, sha256, AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]));
    if ((await models.state()).active === release.id) throw refused('nothing', `${release.release} serves already`);
    await models.prepare();
    await checkSpace(models.path, release);
    await models.bring(from, release, { signal, onProgress: (fraction) => bar.update('fetch', fraction) });
    bar.end();
    const since = new Date().toISOString();
    await models.change((state) => ({ ...state, wanted: release.id }));
    const handover = await handOver(models, stateDir, since, signal, ({ wanted }) => wanted === null);
    tell(handover, `${release.release} is here, whole and signed`, json === true, { release: release.release, sha256: release.sha256 });
  } finally {
    bar.end();
    letGo();
  }
}

async function rollback(flags: NodeFlags): Promise<void> {
  const { models, stateDir } = await modelsOf(flags);
  const { active, previous, wanted } = await models.state();
  if (active === null && wanted === null)
    throw refused('nothing', 'Nothing is installed over the package of the configuration, so there is nothing to go back to');
  const named = async (id: string | null) =>
    id === null ? 'the package of the configuration' : ((await models.serving(id).catch(() => null))?.release?.release ?? id);
  const [from, to] = active === null ? [await named(wanted), await named(null)] : [await named(active), await named(previous)];
  const { signal, release } = interruption();
  try {
    const since = new Date().toISOString();
    const outcome = outcomeOf('rolled_back', from, `${from} was taken back on this machine`, null);
    if (active === null) await models.change((state) => ({ ...state, wanted: null, last: outcome }));
    else await models.rollBack(outcome, true);
    const handover = await handOver(models, stateDir, since, signal, null);
    tell(handover, `${from} is taken back for ${to}`, flags.json === true, { from, to });
  } finally {
    release();
  }
}

async function prune(flags: NodeFlags): Promise<void> {
  const { models } = await modelsOf(flags);
  const removed = await models.prune();
  if (flags.json) printJson({ removed });
  else print(removed.length === 0 ? 'there is nothing to remove\n' : `${removed.map((name) => `removed ${name}`).join('\n')}\n`);
}

async function sign(folder: string, { key: file, release, json }: { key: string; release: string; json?: boolean }): Promise<void> {
  if (!isReleaseName(release)) throw optionError('release', RELEASE_WORDS, release);
  const pem = await readFile(file).catch(({ code }: NodeJS.ErrnoException) => {
    throw optionError('key', `a file that can be read (${code})`, file);
  });
  const key = privateKeyOf(pem, file);
  const bar = new ProgressBar();
  try {
    const { sha256, bytes: size, model } = await signPackage(folder, release, key, (fraction) => bar.update('check', fraction));
    bar.end();
    const publicKey = publicTextOf(key);
    if (json) printJson({ release, model, sha256, bytes: size, key: publicKey });
    else
      print(
        `${basename(folder)} is release ${release} of ${model}, ${bytes(size)}\nsha256 of release.json  ${sha256}\nmodel.updates.keys      ${publicKey}\n`,
      );
  } finally {
    bar.end();
  }
}

function tell({ state, outcome }: Handover, done: string, asJson: boolean, facts: object): void {
  if (outcome?.outcome === 'refused') throw new MiphaError('ERR_UPDATE', outcome.message);
  const words = {
    'not running': 'the node does not run: it takes this up when it starts',
    told: 'the node was told, and says on its topic model what came of it',
    'not told': 'the node runs and cannot be told by this user: systemctl reload mipha, or restart it',
    done: '',
  }[state];
  if (asJson) printJson({ ...facts, node: state, outcome });
  else print(`${outcome?.message ?? done}${words === '' ? '' : `; ${words}`}\n`);
}
