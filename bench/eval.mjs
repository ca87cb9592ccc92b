// Every benchmark of `mipha eval` on a package of the published size, ten items of each: seconds an item, and how much memory the process takes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromDist, readArguments, refuse } from '../scripts/arguments.mjs';
import { BENCHMARKS, writeData } from './eval/data.mjs';

const USAGE = `node bench/eval.mjs [--model PACKAGE] [--benchmarks pope,gqa] [--out FOLDER]      after npm run setup

Makes small copies of the benchmarks, pictures of the synthetic kitchen, and asks ten items of each, each benchmark in a process of its own. Without --model
the package has random weights of mipha-3b: 3.2 GB of disk, 5 GB of memory, and hours on a few cores, as random weights seldom end an answer. With --out
package and answers stay there, and the same command goes on where it was interrupted.`;
const ITEMS = 10;
const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

const { values } = readArguments(USAGE, { options: { model: { type: 'string' }, benchmarks: { type: 'string' }, out: { type: 'string' } } });
const wanted = values.benchmarks?.split(',') ?? BENCHMARKS;
const stranger = wanted.find((name) => !BENCHMARKS.includes(name));
if (stranger !== undefined) refuse(USAGE, `--benchmarks: expected some of ${BENCHMARKS.join(', ')}, received ${stranger}`);
if (values.model !== undefined && !existsSync(values.model)) refuse(USAGE, `--model: no such folder: ${values.model}`);

const { writeRandomPackage } = await fromDist('package/random.js');
const folder = resolve(values.out ?? (await mkdtemp(join(tmpdir(), 'mipha-bench-eval-'))));
let running;
const interrupted = new AbortController();
process.once('SIGINT', () => {
  interrupted.abort();
  running?.kill('SIGINT');
});
try {
  await main();
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
  process.exitCode = 130;
} finally {
  if (values.out === undefined) await rm(folder, { recursive: true, force: true });
}

async function main() {
  const model = resolve(values.model ?? join(folder, 'mipha-3b'));
  await mkdir(folder, { recursive: true });
  await writeData(join(folder, 'data'));
  if (!existsSync(model)) await writeRandomPackage(model, 'mipha-3b', { signal: interrupted.signal });
  const longest = Math.max(...wanted.map(({ length }) => length));
  for (const name of wanted) {
    const memory = await evaluate(name, model);
    if (memory === undefined) return;
    const { benchmarks } = JSON.parse(await readFile(join(folder, 'scores', 'report.json'), 'utf8'));
    const { items, secondsPerItem } = benchmarks.find(({ benchmark }) => benchmark === name);
    console.log(`${name.padEnd(longest)}  ${items} items  ${secondsPerItem.toFixed(2).padStart(7)} s an item  resident peak ${memory}`);
  }
}

/** The memory that `mipha eval` says it took. Where that fails, which it has told, this process will have its status. */
async function evaluate(name, model) {
  const args = ['--data', join(folder, 'data'), '--limit', String(ITEMS), '--model', model, '--out', join(folder, 'scores')];
  running = spawn(process.execPath, [MAIN, 'eval', name, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  running.stdout.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  const [status] = await once(running, 'close');
  if (status === 0) return /^memory of the process: at most (.*)$/m.exec(said)[1];
  process.exitCode = status ?? 1;
}
