// The gate of the CUDA kernels without a device: compiles them as they are shipped, counts in the machine code, and compares with the bars and with the
// committed table.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse } from './arguments.mjs';
import { barsOf } from './cuda/bars.mjs';
import { kernelsOf } from './cuda/code.mjs';
import { measure } from './cuda/measures.mjs';
import { compileCubin, makes, TARGETS } from './cuda/nvcc.mjs';
import { compare, failures, format, parse } from './cuda/table.mjs';
import { compilerHere } from './cuda-library.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const USAGE = `node scripts/cuda-report.mjs [FOLDER]            compares the kernels of FOLDER (native/backend/cuda/kernels) with its report.txt
node scripts/cuda-report.mjs [FOLDER] --write    writes report.txt

Status 1: a kernel spills, misses its bar (scripts/cuda/bars.mjs) or is worse than the table.`;
const AT_ONCE = 2; // each is a compiler

const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { write: { type: 'boolean' } } });
const folder = resolve(positionals[0] ?? join(ROOT, 'native/backend/cuda/kernels'));
if (!existsSync(folder)) refuse(USAGE, `FOLDER: no such folder: ${positionals[0] ?? folder}`);
const table = join(folder, 'report.txt');
const shown = relative(process.cwd(), table);

try {
  const nvcc = compilerHere();
  const sources = sourcesOf();
  const committed = values.write ? null : parse(existsSync(table) ? readFileSync(table, 'utf8') : '');
  const rows = await report(nvcc, sources);
  if (values.write) {
    writeFileSync(table, format(nvcc.release, rows));
    console.log(`${shown}: ${rows.length} rows`);
  }
  process.exitCode = judge(nvcc, rows, committed ?? { version: nvcc.release, rows }) ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

function sourcesOf() {
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith('.cu'))
    .sort();
  if (sources.length === 0) throw new Error(`${relative(process.cwd(), folder) || '.'}: no .cu file`);
  return sources;
}

/** Rows of all kernels, sorted as the table has them. */
async function report(nvcc, sources) {
  const targets = TARGETS.filter((target) => makes(nvcc.version, target));
  for (const target of TARGETS) if (!targets.includes(target)) console.log(`sm_${target} is not looked at: nvcc ${nvcc.version} does not make it`);
  const scratch = mkdtempSync(join(tmpdir(), 'mipha-cubin-'));
  try {
    const jobs = sources.flatMap((file) => targets.map((target) => ({ file, target, cubin: join(scratch, `${file}.${target}`) })));
    const queue = jobs.values(); // shared: each worker takes the next
    const work = async () => {
      for (const { file, target, cubin } of queue) await compileCubin(nvcc, join(folder, file), target, join(ROOT, 'native'), cubin);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return jobs.flatMap(rowsOf).sort((a, b) => order(a.file, b.file) || order(a.kernel, b.kernel) || a.target - b.target);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function order(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function rowsOf({ file, target, cubin }) {
  const kernels = kernelsOf(readFileSync(cubin), target);
  const names = readable(kernels.map(({ symbol }) => symbol));
  return kernels.map((kernel, index) => ({ file, kernel: names[index], target, ...measure(kernel, target, barsOf({ file, kernel: names[index] })) }));
}

/** `void mipha::cuda::(anonymous namespace)::decode<(mipha::cuda::Format)1, 8>(…)` → `decode<(Format)1, 8>`. */
function readable(symbols) {
  const { stdout, error, status } = spawnSync('c++filt', [], { input: symbols.join('\n'), encoding: 'utf8' });
  if (error || status !== 0) throw new Error('c++filt not found: it comes with the compiler (binutils)');
  return stdout
    .trimEnd()
    .split('\n')
    .map((name) => {
      const short = name.replace(/^void /, '').replace(/\(anonymous namespace\)::|\b[a-z]\w*::/g, '');
      return withoutParameters(short);
    });
}

/** Up to the first parenthesis that stands outside of template arguments. */
function withoutParameters(name) {
  let depth = 0;
  for (const [at, letter] of [...name].entries()) {
    if (letter === '<') depth += 1;
    else if (letter === '>') depth -= 1;
    else if (letter === '(' && depth === 0) return name.slice(0, at);
  }
  return name;
}

/** Prints what is wrong and what has changed; whether all is well. */
function judge(nvcc, rows, committed) {
  const same = committed.version === nvcc.release;
  if (!same) console.log(`${shown} was made by nvcc ${committed.version}, this is ${nvcc.release}: it does not apply, only spills are looked for`);
  const below = rows.flatMap((row) => failures(row, barsOf(row), !same));
  const { worse, better, other } = same ? compare(committed.rows, rows) : { worse: [], better: [], other: [] };
  list('Below the bar', below);
  list('Worse', worse);
  list('Better', better);
  list('Changed', other);
  if (better.length + other.length > 0) console.log('To commit it: npm run report:cuda -- --write');
  if (below.length + worse.length === 0) console.log(`${rows.length} kernels and targets: no spill${same ? ', no bar missed, none worse' : ''}`);
  return below.length + worse.length === 0;
}

function list(title, lines) {
  if (lines.length > 0) console.log(`${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
