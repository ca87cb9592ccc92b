import { type Command, Option } from 'commander';
import { optionError } from '../errors.js';
import { type Backend, Mipha } from '../index.js';
import { AS_HELP, parseAs } from './as.js';
import { interruption } from './failure.js';
import { backendOption, SHIPPED_MODEL, warnPassedOver, wholeNumber } from './options.js';
import { milliseconds, notes, printJson } from './output.js';
import { readStdin } from './stdin.js';

interface AskCommand {
  model: string;
  backend: Backend;
  as?: string;
  maxTokens?: number;
  stream?: boolean;
  json?: boolean;
}

export function addAsk(program: Command): void {
  program
    .command('ask')
    .description('Ask one question about one picture; the answer goes to stdout.')
    .argument('<image>', 'a JPEG, PNG, WebP, AVIF, GIF or TIFF file; - reads one from stdin')
    .argument('<question>', 'in words')
    .addOption(new Option('--as <kind>', `the answer must be of this kind: ${AS_HELP}`))
    .addOption(new Option('--model <folder>', 'the package to ask').default(SHIPPED_MODEL, 'the shipped mipha-nano'))
    .addOption(backendOption())
    .addOption(new Option('--max-tokens <n>', 'longest answer').argParser(wholeNumber(1, 32_767)).conflicts('as'))
    .addOption(new Option('--stream', 'print the answer while it is written').conflicts(['as', 'json']))
    .option('--json', 'print value, confidence, tokens and timings as JSON')
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha ask kitchen.png "Is the door open?" --as boolean
  mipha ask kitchen.png "What color is the cup?" --as choice:red,blue --json
  mipha ask kitchen.png "Describe the scene." --stream
  curl -s http://camera/snapshot.jpg | mipha ask - "Is there a person?"

The shipped model, mipha-nano, knows one synthetic kitchen and nothing else; --model takes a package written by mipha convert.`),
    )
    .action(ask);
}

async function ask(image: string, question: string, options: AskCommand): Promise<void> {
  if (question.trim() === '') throw optionError('question', 'words', question);
  const as = options.as === undefined ? undefined : parseAs(options.as);
  const { signal, release } = interruption();
  try {
    const picture = image === '-' ? await readStdin(signal) : image;
    await using mipha = await Mipha.load(options.model, { backend: options.backend, signal });
    warnPassedOver(mipha.status().passedOver);
    await using view = await mipha.look(picture, { signal });
    const limits = { signal, ...(options.maxTokens === undefined ? {} : { maxTokens: options.maxTokens }) };
    if (options.stream) {
      for await (const piece of view.stream(question, limits)) process.stdout.write(piece);
      process.stdout.write('\n');
      return;
    }
    const answer = await view.ask(question, as === undefined ? limits : { ...limits, as });
    if (options.json) {
      printJson({ question, ...answer });
      return;
    }
    process.stdout.write(`${as === undefined ? answer.text : answer.value}\n`);
    if (process.stderr.isTTY) process.stderr.write(`${remark(answer)}\n`);
  } finally {
    release();
  }
}

function remark({
  confidence,
  finish,
  timings,
}: {
  confidence: number | null;
  finish: string;
  timings: { visionMs: number; totalMs: number };
}): string {
  const sure = confidence === null ? '' : `${(confidence * 100).toFixed(1)} % sure, `;
  return `(${sure}${milliseconds(timings.totalMs)}, of which seeing ${milliseconds(timings.visionMs)}${finish === 'length' ? ', cut off: raise --max-tokens' : ''})`;
}
