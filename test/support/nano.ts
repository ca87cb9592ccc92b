/** The shipped package, and the held-out kitchen scenes that it has never seen. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the suites of the SDK run on another backend, a package made for it. */
export const NANO = process.env.MIPHA_TEST_NANO ?? 'models/mipha-nano';
export const EVAL = 'test/fixtures/eval';

export interface EvalScene {
  picture: string; // path
  seed: number;
  qa: [question: string, answer: string][];
}

export function evalScenes(): EvalScene[] {
  const lines = readFileSync(join(EVAL, 'qa.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as EvalScene).map((scene) => ({ ...scene, picture: join(EVAL, scene.picture) }));
}

/** What the FP32 reference answers, per scene. */
export function evalFigures(): { right: number; total: number; answers: string[][] } {
  return JSON.parse(readFileSync(join(EVAL, 'figures.json'), 'utf8'));
}
