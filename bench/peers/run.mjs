// mipha-edge beside ONNX Runtime and llama.cpp on the same sizes, in turn; medians, the ratios of each pair, and what this machine could do at most.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fromDist, oneOf, readArguments, refuse, wholeNumber } from '../../scripts/arguments.mjs';
import { Contender } from './contender.mjs';
import { prepare, SIZES } from './files.mjs';
import { render, summarize } from './report.mjs';
import { CONTENDERS, OWN, STAGES, shapeOf, workOf } from './stages.mjs';

const NAMES = Object.keys(CONTENDERS);
const USUAL = NAMES.filter((name) => name !== 'llama-vision'); // its binary has no AVX: a picture takes half a minute
const SCRATCH = join(tmpdir(), 'mipha-edge-peers');
const USAGE = `node bench/peers/run.mjs [--size mipha-3b | nano] [--layers N] [--rounds 3] [--only ${NAMES.join(',')}] [--json FILE]
                         [--scratch FOLDER] [--keep]      after npm run setup, and npm ci in bench/peers

Each peer takes turns with mipha-edge, stage by stage, as often as --rounds says. Random weights are written below FOLDER (${SCRATCH}), 6 GB for
mipha-3b, and removed at the end; --keep leaves them for the next run. --layers: tower and language model of so many layers each, at their full widths.
Two models are in memory at a time where there is room for both (12 GB for mipha-3b), else one, which is loaded again for each round.`;

const { values } = readArguments(USAGE, {
  options: {
    ...{ size: { type: 'string' }, layers: { type: 'string' }, rounds: { type: 'string' }, only: { type: 'string' } },
    ...{ json: { type: 'string' }, scratch: { type: 'string' }, keep: { type: 'boolean' } },
  },
});
const size = oneOf(USAGE, '--size', values.size ?? SIZES[0], SIZES);
const layers = values.layers === undefined ? undefined : wholeNumber(USAGE, '--layers', values.layers);
const rounds = wholeNumber(USAGE, '--rounds', values.rounds, 3);
const only = (values.only ?? USUAL.join(',')).split(',').map((name) => oneOf(USAGE, '--only', name, NAMES));
if (!existsSync(new URL('node_modules', import.meta.url))) refuse(USAGE, 'the peers are not installed: npm ci in bench/peers');
if (values.json !== undefined && !existsSync(dirname(values.json))) refuse(USAGE, `--json: no such folder: ${dirname(values.json)}`);

const running = [];
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void finish().then(() => process.exit(130)));
const scratch = values.scratch ?? SCRATCH;
const folder = join(scratch, layers === undefined ? size : `${size}-${layers}`);
try {
  const report = await compare();
  console.log(render(report));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await finish();
}

async function finish() {
  await Promise.all(running.map((contender) => contender.stop()));
  if (values.keep) return;
  rmSync(folder, { recursive: true, force: true });
  if (values.scratch === undefined) rmSync(scratch, { recursive: true, force: true });
}

async function compare() {
  const { loadAddon } = await fromDist('addon/load.js');
  const addon = loadAddon();
  const { model: processor, physicalCores } = addon.cpu();
  const limits = { int8OperationsPerSecond: 0 };
  const measurePeak = () => {
    limits.int8OperationsPerSecond = Math.max(limits.int8OperationsPerSecond, addon.int8Peak());
  };
  /** What memory gives differs twofold from one second to the next where others use it too: it is measured on both sides of each sample. */
  const sampled = async (one, stage) => {
    const before = addon.readBandwidth();
    const ms = await one.measure(stage);
    return { ms, readBytesPerSecond: Math.max(before, addon.readBandwidth()) };
  };
  const { paths, architecture, weightBytes } = await prepare(folder, size, layers, only);
  const shape = await shapeOf(architecture);
  const contender = (name) => {
    const made = new Contender(name, { paths, architecture, shape, threads: physicalCores });
    running.push(made);
    return made;
  };
  const together = available() > 4 * weightBytes;
  const samples = []; // { peer, stage, round, name, ms, readBytesPerSecond }
  const facts = {};

  const ours = only.includes('ours') ? [contender('ours')] : [];
  const peers = only.filter((name) => name !== 'ours');
  for (const [turn, peer] of (peers.length > 0 ? peers : [undefined]).entries()) {
    measurePeak();
    const pair = peer === undefined ? ours : [...ours, contender(peer)];
    const shared = STAGES.filter((stage) => (OWN.includes(stage) ? turn === 0 : pair.every(({ name }) => CONTENDERS[name].includes(stage))));
    if (together) for (const one of pair) await one.start();
    for (let round = 0; round < rounds; round++) {
      for (const stages of together ? shared.map((stage) => [stage]) : [shared]) {
        for (const one of pair) {
          await one.start();
          for (const stage of stages.filter((wanted) => CONTENDERS[one.name].includes(wanted))) {
            samples.push({ peer, stage, round, name: one.name, ...(await sampled(one, stage)) });
          }
          facts[one.name] = { ...one.facts, residentBytes: one.residentBytes() };
          if (!together) await one.stop();
        }
      }
    }
    if (peer !== undefined) await pair.at(-1).stop();
    measurePeak();
  }
  const work = await workOf(architecture, shape, facts.ours?.questionRows);
  const machine = { processor, threads: physicalCores, node: process.versions.node, date: new Date().toISOString() };
  return summarize({ machine, size, layers, rounds, limits, facts, samples, work });
}

function available() {
  return 1024 * Number(/MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))[1]);
}
