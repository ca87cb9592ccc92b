import { type Command, Option } from 'commander';
import { optionError } from '../errors.js';
import { openPool, type PoolNodeStatus, type PoolQuestion } from '../pool/index.js';
import { AS_HELP, parseAnswer } from './as.js';
import { accessOf, addBrokerOptions, type BrokerFlags, choiceOf } from './broker-options.js';
import { interruption } from './failure.js';
import { wholeNumber } from './options.js';
import { milliseconds, notes, print, printJson } from './output.js';

interface AskFlags extends BrokerFlags {
  camera?: string;
  watch?: string;
  as?: string;
  deadline: number;
  json?: boolean;
}

export function addPool(program: Command): void {
  const pool = program.command('pool').description('Ask the nodes of a broker as one.');
  addBrokerOptions(
    pool
      .command('ask')
      .description('Ask the node that would answer sooner, and the next one when it is full, silent or gone; the answer goes to stdout.')
      .argument('[question]', 'in words; may be left out with --watch'),
  )
    .option('--camera <id>', 'of which camera; needed where nodes have several')
    .option('--watch <id>', 'the question of this watch, or its camera')
    .addOption(new Option('--as <kind>', `the answer must be of this kind: ${AS_HELP}`))
    .addOption(new Option('--deadline <ms>', 'milliseconds until the outcome').argParser(wholeNumber(1, 600_000)).default(30_000))
    .option('--json', 'print the whole result as JSON')
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha pool ask "Is there a person?" --as boolean --label site=hall-2
  mipha pool ask "How many boxes are there?" --as int:0..9 --camera front \\
    --node "press-*" --deadline 2000 --broker mqtts://broker.example --username me`),
    )
    .action(ask);
  addBrokerOptions(pool.command('status').description('Which nodes could be asked now, how long their queues are, and why others could not.'))
    .option('--json', 'print it as JSON')
    .action(status);
}

async function ask(text: string | undefined, options: AskFlags): Promise<void> {
  if (text?.trim() === '') throw optionError('question', 'words', text);
  const { camera, watch, deadline: deadlineMs, json } = options;
  const question: PoolQuestion = { question: text, camera, watch, answer: options.as === undefined ? undefined : parseAnswer(options.as) };
  const { signal, release } = interruption();
  try {
    const beganMs = performance.now();
    await using pool = await openPool({ ...accessOf(options), ...choiceOf(options) });
    signal.throwIfAborted();
    const result = await pool.ask(question, { deadlineMs, signal });
    if (json) printJson(result);
    else print(`${result.value}\n`);
    if (!json && process.stderr.isTTY) process.stderr.write(`${result.node}, ${milliseconds(performance.now() - beganMs)}\n`);
  } finally {
    release();
  }
}

async function status(options: BrokerFlags & { json?: boolean }): Promise<void> {
  await using pool = await openPool({ ...accessOf(options), ...choiceOf(options) });
  const { nodes } = pool.status();
  if (options.json) printJson(nodes);
  else if (nodes.length === 0) print('no node is known on this broker\n');
  else print(`${columnsOf(nodes.map(row)).join('\n')}\n`);
}

function row({ node, state, misfit, model, queue, queueLimit, usualMs, labels }: PoolNodeStatus): string[] {
  const busy = queueLimit === null ? '' : `queue ${queue} of ${queueLimit}`;
  return [
    node,
    misfit ?? state,
    model?.id ?? '-',
    state === 'offline' ? '' : busy,
    state === 'offline' || usualMs === null ? '' : `${milliseconds(usualMs)} each`,
    wordsOf(labels),
  ];
}

export function wordsOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** Rows as lines, each column as wide as its widest cell. */
export function columnsOf(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
