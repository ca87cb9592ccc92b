/** Which vitest project a test file belongs to: read from what it uses, so that every file belongs to exactly one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MACHINE_LACKS } from './machine.js';

/**
 * quick: TypeScript alone · compute: calibration, graphs in ONNX Runtime, the native reference · engine: a loaded model · cuda: the CUDA backend on the
 * machine without a GPU · processes: waits for programs and brokers · measured: has frames or answers in real time: alone on the machine.
 */
export const PROJECTS = ['quick', 'compute', 'engine', 'cuda', 'processes', 'measured'] as const;
export type Project = (typeof PROJECTS)[number];

/** The first sign in the text of a file decides. */
const SIGNS: [Project, RegExp][] = [
  ['compute', /\bsharedNano\(|\bnanoSamples\(|\bcalibrateNano\(|\bcalibrateSwitched\(/],
  ['engine', /\bMipha\.load\(|raw-engine\.js'/],
  ['compute', /\bloadReference\(|\bwriteRandomPackage\(/],
  ['processes', /'node:child_process'|\bdescribeWith\(|\bstart(Mosquitto|Broker)\(|\bimport \{[^}]*\b(mipha|node)\b[^}]*\} from '[^']*\/run\.js'/],
];

/** Files whose text does not show it. */
const LISTED: Record<string, Project> = {
  'test/camera/newest.test.ts': 'measured',
  'test/http/crowd.test.ts': 'measured',
  'test/pool/clusters.test.ts': 'measured', // elections on a crowded machine take minutes
  'test/pool/nano.test.ts': 'measured',
  'test/service/brokers.test.ts': 'measured',
  'test/service/chat-crowd.test.ts': 'measured',
  'test/service/chat-deadlines.test.ts': 'measured',
  'test/cli/demo.test.ts': 'measured',
  'test/cli/calibrate.test.ts': 'compute',
  'test/cli/tensorrt.test.ts': 'compute',
  'test/engine/cuda.test.ts': 'cuda',
  'test/native/gpu-answers.test.ts': 'cuda',
};

/** The suites that run once more on CUDA: those that ask in every way, but none that repeats it hundreds of times. A step takes a tenth of a second. */
const ON_CUDA = ['conversation', 'life-cycle', 'mipha', 'self-test'].map((name) => `test/engine/${name}.test.ts`);

/** What these find in their environment; standin-nano.ts makes it. */
export const STANDIN_ENV = { MIPHA_TENSORRT: resolve('build/standin/suite.so'), MIPHA_TEST_NANO: resolve('build/standin/nano') };

export function testFiles(): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .sort();
}

export function projectOf(path: string): Project {
  const text = readFileSync(path, 'utf8');
  return LISTED[path] ?? SIGNS.find(([, sign]) => sign.test(text))?.[0] ?? 'quick';
}

/** Whether a suite runs once more on the stand-in for TensorRT; the held-out scenes go through the graphs instead, test/package/onnx. */
function runsOnBackend(path: string): boolean {
  return path.startsWith('test/engine/') && projectOf(path) === 'engine' && path !== 'test/engine/eval.test.ts';
}

/** Whether a test file is in a project because that runs it on another backend than its own does. */
export function isOnceMore(project: Project | 'tensorrt', path: string): boolean {
  return project === 'tensorrt' ? runsOnBackend(path) : project === 'cuda' && MACHINE_LACKS === '' && ON_CUDA.includes(path);
}

/** What this run has of each project. The suites on another backend take long, which is no fault of theirs: the thorough run has them. */
export function filesOf(project: Project | 'tensorrt', thorough: boolean): string[] {
  const files = testFiles();
  return files.filter((path) => (thorough && isOnceMore(project, path)) || (projectOf(path) === project && (!thorough || isThorough(path))));
}

/** Whether the thorough run has anything to add to the quick one. */
export function isThorough(path: string): boolean {
  return /\bcounts\(|\bTHOROUGH\b/.test(readFileSync(path, 'utf8'));
}
