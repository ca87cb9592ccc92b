import { copyFile, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { stillsOf } from '../camera/clip.js';
import type { Backend } from '../engine/backends.js';
import { Mipha } from '../engine/mipha.js';
import { optionError } from '../errors.js';
import { makeFolder } from '../make-folder.js';
import { WEIGHTS_FILE } from '../package/manifest.js';
import { readManifest } from '../package/verify.js';
import { yieldToOthers } from '../priority.js';
import { type Label, readLabels } from '../record/labels.js';
import { readRecord } from '../record/read.js';
import { KeptAnswers } from '../replay/kept-answers.js';
import { page, summary } from '../replay/page.js';
import { type Lines, replay } from '../replay/replay.js';
import type { ReplayReport } from '../replay/report.js';
import { recordOf } from '../replay/stills.js';
import { type Value, watchSpecSchema } from '../watch/spec.js';
import { interruption } from './failure.js';
import { assignment, backendOption, moment, SHIPPED_MODEL } from './options.js';
import { milliseconds, notes, ProgressBar, ProgressLines, printJson, table } from './output.js';
import { type ChangeOptions, type Changes, changesOf } from './replay-changes.js';

const STILL_SIDE_PX = 1280;

interface ReplayCommand extends ChangeOptions {
  record?: string;
  on?: string;
  fps: number;
  since?: Date;
  until?: Date;
  model: string;
  backend: Backend;
  positive: Value;
  missCost: number;
  out?: string;
  timezone?: string;
  json?: boolean;
  progress?: boolean;
}

export function addReplay(program: Command): void {
  program
    .command('replay')
    .description('Ask the recorded frames of a watch again with other settings, or a film, and say what that changes.')
    .argument('<watch>', 'the id of a watch that was recorded (watches.ID.record: true); with --on any name')
    .option('--record <folder>', 'where the node records (recorder.folder)')
    .option('--on <path>', 'instead of a record: a film, or a folder of pictures, of a camera that is not there yet')
    .addOption(new Option('--fps <n>', 'with --on: pictures a second').argParser(number(0.01, 60)).default(5))
    .addOption(new Option('--since <time>', 'a time, or an age such as 7d, 12h or 30m; default: all there is').argParser(moment))
    .addOption(new Option('--until <time>', 'likewise').argParser(moment))
    .option('--question <text>', 'what is asked instead')
    .option('--as <type>', 'what kind of answer instead: boolean | int:0..9 | number:0..1 | choice:red,green | text:80')
    .addOption(new Option('--min-confidence <share>', 'a new value counts only with at least this confidence').argParser(number(0, 1)))
    .option('--agreement <n/m>', 'n of the last m answers must agree, e.g. 2/3')
    .option('--zone <polygons>', 'look only here, in JSON: [[[0,0.5],[1,0.5],[1,1],[0,1]]]')
    .option('--set <path=value>', 'any other setting of the watch, as often as needed, e.g. cooldown_ms=5000', assignment, [])
    .addOption(new Option('--model <folder>', 'package that answers').default(SHIPPED_MODEL, 'the shipped mipha-nano'))
    .addOption(backendOption())
    .addOption(new Option('--positive <value>', 'the value that is an alarm, for precision and recall').argParser(json).default(true))
    .addOption(new Option('--miss-cost <factor>', 'what a miss costs where a false alarm costs 1').argParser(number(0, 1e9)).default(1))
    .option('--out <folder>', 'write report.html with pictures, report.json, and what an interrupted run goes on from')
    .addOption(new Option('--timezone <zone>', 'of quiet hours, e.g. Europe/Berlin; default: the one on record').argParser(zone))
    .option('--json', 'print the report as JSON')
    .option('--progress', 'for programs: how far it is, as a line of JSON on stderr for each percent')
    .addHelpText(
      'after',
      notes(`
The gate, the agreement and the rules of events run as they do live. With the settings on record nothing is asked, and the events are those on record.
It runs at a low priority: a node beside it keeps its pace.

Example:
  mipha replay door --record /var/lib/mipha/record --since 7d \\
    --question 'Is the door wide open?' --out try
  mipha replay door --on clip.mp4 --question 'Is the door open?' --agreement 2/3`),
    )
    .action(run);
}

async function run(watch: string, options: ReplayCommand): Promise<void> {
  const { model: folder, backend, positive, missCost, out, timezone } = options;
  const changes = changesOf(options);
  const { signal, release } = interruption();
  const bar = new ProgressBar();
  const percents = new ProgressLines();
  const begun = performance.now();
  let first: number | undefined;
  let model: Promise<Mipha> | undefined;
  yieldToOthers();
  try {
    if (out !== undefined) await makeFolder(out);
    const revision = await revisionOf(folder);
    await using source = await sourceOf(watch, options, changes, signal);
    const report = await replay({
      ...{ watch, lines: source.lines, labels: source.labels, change: changes.apply, revision, positive, missCost, timeZone: timezone, signal },
      model: () => (model ??= Mipha.load(folder, { backend, signal })),
      kept: out === undefined ? undefined : new KeptAnswers(join(out, 'answers.ndjson'), JSON.stringify([revision, changes.words, source.frames])),
      onProgress: (at) => {
        first ??= at.getTime();
        const share = (at.getTime() - first) / Math.max(1, source.endMs - first);
        if (options.progress) percents.update(share);
        else bar.update(`${watch} `, share, at.toISOString().slice(0, 16));
      },
    });
    bar.end();
    if (report.lives === 0) throw optionError('watch', `a watch with something recorded in ${source.name} in this time`, watch);
    if (out !== undefined) await write(out, report, changes.words);
    if (options.json) printJson(report);
    else process.stdout.write(`${words(report, performance.now() - begun, out)}\n`);
  } finally {
    bar.end();
    release();
    await (await model?.catch(() => undefined))?.dispose();
  }
}

interface ReplaySource extends AsyncDisposable {
  name: string;
  /** Where ids of frames are unique: a record's are everywhere, a film's only in it. */
  frames: string;
  lines: Lines;
  labels: ReadonlyMap<string, Label>;
  endMs: number; // Unix time at which it ends, or about
}

async function sourceOf(watch: string, options: ReplayCommand, changes: Changes, signal: AbortSignal): Promise<ReplaySource> {
  const { record, on, since, until, fps } = options;
  if ((record === undefined) === (on === undefined))
    throw optionError('--record', '--record or --on, one of them', record === undefined ? 'none' : 'both');
  if (record !== undefined) {
    const lines = readRecord(record, { watch, ...(since && { since }), ...(until && { until }) });
    const { labels } = await readLabels(record, watch);
    const endMs = (until ?? new Date()).getTime();
    return { name: resolve(record), frames: '', lines, labels, endMs, [Symbol.asyncDispose]: async () => {} };
  }
  if (options.question === undefined) throw optionError('--question', 'a question, as --on has no watch on record', options.question);
  const path = on as string;
  const spec = changes.apply(watchSpecSchema.parse({ camera: 'film', question: options.question }));
  const event = spec.compare?.event ?? watch;
  if (event !== watch) throw optionError('watch.compare.event', `${watch} itself, as a film has no other watch`, event);
  const { stills, [Symbol.asyncDispose]: dispose } = await stillsOf(path, { fps, sidePx: STILL_SIDE_PX, signal });
  const begin = new Date();
  const lines = recordOf(stills, watch, spec, begin);
  const frames = `${resolve(path)} ${(await stat(path)).mtimeMs}`;
  return { name: path, frames, lines, labels: new Map(), endMs: begin.getTime() + (stills.at(-1)?.atMs ?? 0), [Symbol.asyncDispose]: dispose };
}

async function write(out: string, report: ReplayReport, settings: readonly string[]): Promise<void> {
  const pictures = new Map<string, string>();
  await makeFolder(join(out, 'pictures'));
  for (const { frame, picture } of report.flips) {
    if (picture === null) continue;
    const name = `pictures/${frame.replace(/[^\w-]/g, '_')}.jpg`;
    try {
      await copyFile(picture, join(out, name));
      pictures.set(frame, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // the record deletes its oldest while it is read
    }
  }
  const { flips, ...rest } = report;
  const listed = flips.map((flip) => ({ ...flip, picture: pictures.get(flip.frame) ?? null }));
  await writeFile(join(out, 'report.json'), `${JSON.stringify({ ...rest, settings, flips: listed }, null, 2)}\n`);
  await writeFile(join(out, 'report.html'), page(report, settings, pictures));
}

function words(report: ReplayReport, tookMs: number, out: string | undefined): string {
  const { days, machineMs, flips } = report;
  const speed = `${milliseconds(tookMs)}, ${((days * 86_400_000) / tookMs).toPrecision(3)} times as fast as it was recorded; the model ${milliseconds(machineMs)}`;
  const shown = flips.slice(0, 10).map(({ at, before, now, picture }): [string, string] => {
    return [at.toISOString(), `${before.value} → ${now.value}  ${picture === null ? 'without a picture' : basename(picture)}`];
  });
  const pages = out === undefined ? [] : ['', resolve(out, 'report.html')];
  return [table([...summary(report), ['took', speed]]), ...(shown.length === 0 ? [] : ['', table(shown)]), ...pages].join('\n');
}

/** Of the weights, as Mipha.revision. Throws what openPackage throws about a manifest. */
async function revisionOf(folder: string): Promise<string> {
  return (await readManifest(folder)).files[WEIGHTS_FILE]?.sha256.slice(0, 12) ?? '';
}

function zone(text: string): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    throw new InvalidArgumentError('Expected the name of a time zone, such as Europe/Berlin.');
  }
}

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
  };
}

/** true, 3, or a word. */
function json(text: string): Value {
  return /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text;
}
