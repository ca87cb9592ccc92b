/** Which vitest project a test file belongs to: read from what it uses, so that every file belongs to exactly one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** quick: TypeScript alone · processes: waits for programs and brokers · engine: keeps every core busy. */
export type Project = 'quick' | 'processes' | 'engine';

/** The first sign in the text of a file decides. */
const SIGNS: [Project, RegExp][] = [
  ['engine', /\bMipha\.load\(|raw-engine\.js'|\bsharedNano\(|\bnanoSamples\(|\bcalibrateNano\(|\bloadReference\(|\bwriteRandomPackage\(/],
  ['processes', /'node:child_process'|\bdescribeWith\(|\bstart(Mosquitto|Broker)\(|\bimport \{[^}]*\b(mipha|node)\b[^}]*\} from '[^']*\/run\.js'/],
];

/** What the text does not show: these have other processes keep every core busy, and measure them. */
const ENGINE_BEHIND = ['test/cli/bench.test.ts', 'test/cli/calibrate.test.ts', 'test/cli/demo.test.ts', 'test/cli/tensorrt.test.ts'];

/** A suite of the SDK runs once more on the stand-in for TensorRT when it loads `NANO`; the held-out scenes go through the graphs, test/package/onnx. */
const ON_BACKEND = /^test\/engine\/(?!eval\.)/;

/** What these find in their environment; standin-nano.ts makes it. */
export const STANDIN_ENV = { MIPHA_TENSORRT: resolve('build/standin/suite.so'), MIPHA_TEST_NANO: resolve('build/standin/nano') };

export function testFiles(): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .sort();
}

export function projectOf(path: string): Project {
  if (ENGINE_BEHIND.includes(path)) return 'engine';
  const text = readFileSync(path, 'utf8');
  return SIGNS.find(([, sign]) => sign.test(text))?.[0] ?? 'quick';
}

export function runsOnBackend(path: string): boolean {
  return ON_BACKEND.test(path) && projectOf(path) === 'engine';
}

/** Whether the thorough run has anything to add to the quick one. */
export function usesCounts(path: string): boolean {
  return /\bcounts\(/.test(readFileSync(path, 'utf8'));
}
