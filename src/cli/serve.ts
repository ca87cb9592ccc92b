import { type Command, Option } from 'commander';
import { type Backend, Mipha } from '../index.js';
import { redactor } from '../redact.js';
import { Serving } from '../service/chat/serving.js';
import { interruption } from './failure.js';
import { backendOption, SHIPPED_MODEL, warnPassedOver, wholeNumber } from './options.js';
import { notes, print } from './output.js';

interface ServeCommand {
  host: string;
  port: number;
  tokenFile?: string;
  allowHost: string[];
  backend: Backend;
  queue: number;
  deadline: number;
}

const SHUTDOWN_MS = 5000;

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Answer chat completions about pictures over HTTP, without cameras and broker.')
    .argument('[package]', 'a package written by mipha convert; default: the shipped mipha-nano')
    .addOption(new Option('--host <address>', 'to listen on; others than loopback need --token-file').default('127.0.0.1'))
    .addOption(new Option('--port <n>', '0 takes a free one').argParser(wholeNumber(0, 65_535)).default(9464))
    .addOption(new Option('--token-file <file>', 'tokens of those who may come in, one a line'))
    .addOption(new Option('--allow-host <name>', 'a name clients may use, as often as needed').argParser(listed).default([], 'localhost'))
    .addOption(backendOption())
    .addOption(new Option('--queue <n>', 'requests waiting and under way').argParser(wholeNumber(1, 1000)).default(16))
    .addOption(new Option('--deadline <seconds>', 'for requests that name none').argParser(wholeNumber(1, 600)).default(120))
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha serve
  mipha serve ./mipha-3b --host 0.0.0.0 --token-file token

docs/http.md shows what can be asked, with curl and from other programs. SIGTERM and Ctrl-C end it.`),
    )
    .action(serve);
}

async function serve(folder: string | undefined, { host, port, tokenFile, allowHost, backend, queue, deadline }: ServeCommand): Promise<void> {
  const { signal, release } = interruption();
  const onWarning = (message: string) => process.stderr.write(redactor.text(`mipha: ${message}\n`));
  const serving = new Serving({ host, port, tokenFile, allowedHosts: allowHost, queue, deadlineMs: deadline * 1000, onWarning });
  try {
    const taken = await serving.start();
    await using mipha = await Mipha.load(folder ?? SHIPPED_MODEL, { backend, signal });
    warnPassedOver(mipha.status().passedOver);
    serving.serve(mipha);
    print(`${mipha.name} answers at http://${host.includes(':') ? `[${host}]` : host}:${taken}/v1\n`);
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    await serving.stop(SHUTDOWN_MS);
  } finally {
    await serving.stop(0);
    release();
  }
}

function listed(name: string, earlier: string[]): string[] {
  return [...earlier, name];
}
