import { readdir, readFile, writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { MiphaError, nearestKey, optionError } from '../errors.js';
import { addLabels, type Label, readLabels } from '../record/labels.js';
import { exportLabels, importLabels } from '../record/labels-csv.js';
import { latestStart } from '../record/latest-start.js';
import type { StartLine } from '../record/lines.js';
import { readRecord } from '../record/read.js';
import { loadConfig } from '../service/config/config.js';
import { recordFolderOf } from '../service/config/record-folder.js';
import { misfit } from '../watch/fits.js';
import { answerSpecSchema, type Value } from '../watch/spec.js';
import { assignment, moment } from './options.js';
import { notes, print, printJson } from './output.js';

interface LabelCommand {
  value?: string;
  list?: boolean;
  since?: Date;
  export?: string;
  force?: boolean;
  import?: string;
  config?: string;
  set: [path: string, value: string][];
  record?: string;
  json?: boolean;
}

export function addLabel(program: Command): void {
  program
    .command('label')
    .description('Say which recorded answers of a watch were right, for mipha replay to score it by; beside a running node or without one.')
    .argument('<watch>', 'the id of a watch that was recorded (watches.ID.record: true)')
    .argument('[answer]', 'id of one of its answers: `id` of a result, `result` of an event, or as --list shows it')
    .argument('[verdict]', 'right or wrong')
    .option('--value <value>', 'with wrong: what would have been right')
    .option('--list', 'the answers on record, each with what was said about it')
    .addOption(new Option('--since <time>', 'with --list: a time, or an age such as 7d, 12h or 30m; default: all there is').argParser(moment))
    .option('--export <file>', 'write all labels of the watch as CSV')
    .option('--force', 'with --export: write over a file that is there')
    .option('--import <file>', 'add labels from CSV, as --export writes it')
    .option('--config <file>', 'the YAML file of the node: its recorder.folder, or record in its state_dir')
    .option('--set <path=value>', 'with --config: a setting, as often as needed, as it is given to mipha run', assignment, [])
    .option('--record <folder>', 'where the node records')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      notes(`
The last word about an answer counts. A label goes when its answer goes from the record.

Examples:
  mipha label door --list --since 1d --record /var/lib/mipha/record
  mipha label door 5fd6b823-6a75-4f14-bb4d-c2ff970909d2-7 wrong --config a.yaml
  mipha label balls 5fd6b823-6a75-4f14-bb4d-c2ff970909d2-9 wrong --value 3 \\
    --config a.yaml`),
    )
    .action(label);
}

async function label(watch: string, answer: string | undefined, verdict: string | undefined, options: LabelCommand): Promise<void> {
  const given = [answer !== undefined, options.list, options.export !== undefined, options.import !== undefined].filter(Boolean).length;
  if (given !== 1)
    throw optionError('answer', 'one of: an answer with its verdict, --list, --export FILE, --import FILE', given === 0 ? 'none' : 'several');
  for (const [name, isFit] of [
    ['value', answer !== undefined],
    ['since', options.list],
    ['force', options.export !== undefined],
  ] as const) {
    if (options[name] !== undefined && !isFit) throw optionError(name, FITS[name], 'without');
  }
  const folder = await folderOf(options);
  await mustBeRecorded(folder, watch);
  const asJson = options.json === true;
  if (options.list) await list(folder, watch, options.since, asJson);
  else if (options.export !== undefined) await exportTo(options.export, folder, watch, options.force === true, asJson);
  else if (options.import !== undefined) await importFrom(options.import, folder, watch, asJson);
  else await say(folder, watch, answer as string, verdict, options.value, asJson);
}

const FITS = { value: 'an answer and the verdict wrong beside it', since: '--list beside it', force: '--export beside it' };

/** Throws ERR_OPTION, and ERR_CONFIG for a configuration that names none. */
async function folderOf({ config: file, set, record }: LabelCommand): Promise<string> {
  if ((file === undefined) === (record === undefined))
    throw optionError('record', '--record FOLDER or --config FILE', record === undefined ? 'neither' : 'both');
  if (record !== undefined) return record;
  const { config } = await loadConfig({ file: file as string, flags: set, checkFiles: false });
  const folder = recordFolderOf(config);
  if (folder === undefined) throw new MiphaError('ERR_CONFIG', `${file} has neither recorder.folder nor state_dir: nothing is recorded`);
  return folder;
}

async function mustBeRecorded(folder: string, watch: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(({ code }: NodeJS.ErrnoException) => {
    throw optionError('record', `a folder where a node has recorded (${code})`, folder);
  });
  const known = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (!known.includes(watch)) throw optionError('watch', `one of ${known.join(', ') || '(there is none)'}`, watch, nearestKey(watch, known));
}

async function say(
  folder: string,
  watch: string,
  answer: string,
  verdict: string | undefined,
  text: string | undefined,
  asJson: boolean,
): Promise<void> {
  if (verdict !== 'right' && verdict !== 'wrong') throw optionError('verdict', 'right or wrong', verdict ?? 'none');
  if (verdict === 'right' && text !== undefined) throw optionError('value', 'none with the verdict right', text);
  const value = text === undefined ? undefined : await valueIn(folder, watch, text);
  const label: Label = { answer, verdict, ...(value === undefined ? {} : { value }), at: new Date().toISOString() };
  const { unknown } = await addLabels(folder, watch, [label]);
  if (unknown.length > 0) throw optionError('answer', `the id of a recorded answer of ${watch} (mipha label ${watch} --list shows them)`, answer);
  if (asJson) printJson({ watch, ...label });
  else print(`${watch}: ${answer} was ${verdict}${value === undefined ? '' : `, ${JSON.stringify(value)} would have been right`}\n`);
}

/** Of the type that the watch had when it was last recorded. */
async function valueIn(folder: string, watch: string, text: string): Promise<Value> {
  const value: Value = /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text;
  const start = await latestStart(folder, watch);
  const found = start === null ? { value } : accepted(start.spec, value, text);
  if ('expected' in found) throw optionError('value', found.expected, text);
  return found.value as Value;
}

/** Whether a value could have been an answer of a watch on record; what reads as a number may be a word. */
function accepted({ answer }: StartLine['spec'], value: unknown, text: string): { value: unknown } | { expected: string } {
  const { data } = answerSpecSchema.safeParse(answer);
  if (data === undefined) return { value };
  const isWord = typeof value !== 'string' && (data.type === 'choice' || data.type === 'text');
  const meant = isWord ? text : value;
  const expected = misfit(data, meant);
  return expected === null ? { value: meant } : { expected };
}

async function list(folder: string, watch: string, since: Date | undefined, asJson: boolean): Promise<void> {
  const { labels } = await readLabels(folder, watch);
  const pictures = new Map<string, string>(); // by frame
  const answers = [];
  for await (const { line, picture } of readRecord(folder, { watch, ...(since === undefined ? {} : { since }) })) {
    if (line.kind === 'frame' && picture !== null) pictures.set(line.id, picture);
    if (line.kind !== 'answer' || line.status !== 'ok') continue;
    const { id, at, observed, confidence, frame } = line;
    answers.push({ answer: id, at, observed, confidence, picture: pictures.get(frame ?? '') ?? null, label: labels.get(id) ?? null });
  }
  if (asJson) printJson(answers);
  else if (answers.length === 0) print('there are no answers on record\n');
  else
    for (const { answer, at, observed, confidence, label } of answers)
      print(`${[at, answer, JSON.stringify(observed), confidence?.toFixed(2) ?? '-', words(label)].join('  ')}\n`);
}

function words(label: Label | null): string {
  if (label === null) return '';
  return label.value === undefined ? label.verdict : `${label.verdict}, ${JSON.stringify(label.value)}`;
}

/** Throws ERR_OPTION for a file that is there, unless told to write over it, and for one that cannot be written. */
async function exportTo(file: string, folder: string, watch: string, force: boolean, asJson: boolean): Promise<void> {
  const { labels } = await readLabels(folder, watch);
  await writeFile(file, await exportLabels(folder, watch), { flag: force ? 'w' : 'wx' }).catch(({ code }: NodeJS.ErrnoException) => {
    throw code === 'EEXIST'
      ? optionError('export', 'a new file, or --force to write over one', `${file}, which is there`)
      : optionError('export', 'a file that can be written', `${file} (${code})`);
  });
  if (asJson) printJson({ file, labels: labels.size });
  else print(`${file}: ${labels.size} labels\n`);
}

async function importFrom(file: string, folder: string, watch: string, asJson: boolean): Promise<void> {
  const csv = await readFile(file, 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
    throw optionError('import', `a file that can be read (${code})`, file);
  });
  const { added, unknown } = await importLabels(folder, watch, csv, { accept: accepted });
  if (asJson) printJson({ added, unknown });
  else print(`${added} labels added\n`);
  if (!asJson && unknown.length > 0)
    process.stderr.write(
      `${unknown.length} are about answers that are not on record (any more): ${unknown.slice(0, 5).join(', ')}${unknown.length > 5 ? ', …' : ''}\n`,
    );
}
