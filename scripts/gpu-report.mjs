// What gpu-check.sh has found, as the tables of docs/gpu.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse } from './arguments.mjs';

const USAGE = `node scripts/gpu-report.mjs RESULTS            prints what is in results.jsonl of scripts/gpu-check.sh as tables
node scripts/gpu-report.mjs RESULTS --write    puts them into docs/gpu.md, in the place of those before`;
const DOCUMENT = fileURLToPath(new URL('../docs/gpu.md', import.meta.url));
const BEGIN = '<!-- gpu-report -->';
const END = '<!-- /gpu-report -->';

const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { write: { type: 'boolean' } } });
const [path] = positionals;
if (path === undefined || !existsSync(path)) refuse(USAGE, `RESULTS: no such file: ${path ?? 'not named'}`);
const text = report(readResults(path));
if (values.write) {
  const document = readFileSync(DOCUMENT, 'utf8');
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/gpu.md: expected a line ${BEGIN} and below it one ${END}`);
  writeFileSync(DOCUMENT, `${document.slice(0, begin + BEGIN.length)}\n${text}${document.slice(end)}`);
} else {
  process.stdout.write(text);
}

function readResults(file) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line, index) => {
      try {
        return JSON.parse(line);
      } catch {
        return refuse(USAGE, `${file}: line ${index + 1} is not JSON: ${line}`);
      }
    });
}

/** The last line of each name and sizes counts: the long run measures again what the short one had. */
function last(results, step) {
  const found = new Map();
  for (const result of results)
    if (result.step === step) found.set(JSON.stringify([result.name, result.shape, result.batch, result.context]), result);
  return [...found.values()];
}

function report(results) {
  const of = (step) => last(results, step);
  const [machine = {}] = of('machine');
  const facts = [machine.gpu, machine.driver && `driver ${machine.driver}`, machine.memory, machine.board, machine.cpu, machine.system].filter(
    Boolean,
  );
  const decode = (rows) => rows.filter(({ failed }) => failed === undefined);
  return [
    `${facts.join(', ')}${machine.nvcc ? `, nvcc ${machine.nvcc}` : ''}.`,
    section('Steps', ['step', 'result', 'seconds'], runs(results)),
    section(
      'Checks',
      ['check', 'result'],
      of('check').map(({ name, ok, words }) => [name, ok ? 'as expected' : `**${words ?? 'wrong'}**`]),
    ),
    section(
      'Answers',
      ['what', 'count'],
      of('answers').flatMap(({ step, ...counts }) => Object.entries(counts)),
    ),
    section(
      'Limits of this device',
      ['limit', 'measured'],
      of('limit').map(({ name, value, unit }) => [name, `${number(value)} ${unit}`]),
    ),
    section(
      'Kernels',
      ['kernel', 'shape', 'µs', 'GB/s', 'of read', 'TOPS', 'of peak'],
      of('kernel').map((row) => [
        row.name,
        row.shape,
        number(row.us),
        number(row.GBps),
        percent(row.bandwidth),
        number(row.TOPS),
        percent(row.compute),
      ]),
    ),
    section(
      'Models',
      ['what', 'batch', 'context', 'ms', '95 % within', 'of read', 'tokens/s'],
      of('model').map(({ name, batch, context, ms, p95_ms, bandwidth, tokens_per_second }) => [
        name,
        show(batch),
        show(context),
        number(ms),
        number(p95_ms),
        percent(bandwidth),
        number(tokens_per_second),
      ]),
    ),
    section(
      'Memory on the device',
      ['what', 'MB'],
      of('memory').map(({ name, MB }) => [name, number(MB)]),
    ),
    section(
      'PyTorch, Transformers, FP16',
      ['what', 'batch', 'context', 'ms', 'how'],
      decode(of('pytorch'))
        .filter(({ ms }) => ms !== undefined)
        .map(({ name, batch, context, ms, how }) => [name, show(batch), show(context), number(ms), how]),
    ),
    section('Against PyTorch', ['what', 'batch', 'context', 'ours, ms', 'PyTorch, ms', 'times'], against(of('model'), of('pytorch'))),
  ]
    .filter(Boolean)
    .join('\n')
    .concat('\n');
}

/** Decode steps of the same sizes; a picture and 30 tokens, for which PyTorch has neither decoded nor resized a picture. */
function against(models, pytorch) {
  const row = (what, ours, ms) =>
    ours === undefined || !(ms > 0) ? [] : [[what, show(ours.batch), show(ours.context), number(ours.ms), number(ms), number(ms / ours.ms)]];
  const theirs = (start) => pytorch.find(({ name }) => name.startsWith(start))?.ms;
  const first = models.find(({ name }) => name.startsWith('Mipha-3B picture') && name.endsWith('first token'));
  return [
    ...pytorch
      .filter(({ name }) => name === 'Phi-2 decode step')
      .flatMap(({ batch, context, ms }) =>
        row(
          'decode step',
          models.find((model) => model.name === 'Mipha-3B decode' && model.batch === batch && model.context === context),
          ms,
        ),
      ),
    ...row('picture and 30 tokens to the first token', first, theirs('SigLIP tower') + theirs('Phi-2 prefill')),
  ];
}

function runs(results) {
  return results
    .filter(({ run }) => run !== undefined)
    .map(({ run, status, skipped, words, seconds }) => [
      run,
      skipped === undefined ? (status === 0 ? 'passed' : `**failed** (${status})${words ? `: ${words}` : ''}`) : `skipped: ${skipped}`,
      show(seconds),
    ]);
}

function section(title, head, rows) {
  if (rows.length === 0) return '';
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return ['', `### ${title}`, line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function show(value) {
  return value === undefined || value === null ? '' : String(value);
}

/** Three digits that count. */
function number(value) {
  return typeof value === 'number' ? String(Number(value.toPrecision(value >= 1000 ? 4 : 3))) : '';
}

function percent(share) {
  return typeof share === 'number' ? `${Math.round(share * 100)} %` : '';
}
