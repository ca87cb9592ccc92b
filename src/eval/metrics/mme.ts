/** MME: two questions about each picture, and a point more where both are right. */
import { share } from './yes-no.js';

export const PERCEPTION = ['existence', 'count', 'position', 'color', 'posters', 'celebrity', 'scene', 'landmark', 'artwork', 'OCR'] as const;
export const COGNITION = ['commonsense_reasoning', 'numerical_calculation', 'text_translation', 'code_reasoning'] as const;

export interface MmeAnswer {
  task: string;
  /** The same for the two questions about one picture, in whatever order they come. */
  picture: string;
  right: boolean;
}

export interface MmeFigures {
  /** Task → accuracy + accuracy of pictures, both in percent: 0 to 200. */
  tasks: Map<string, number>;
  perception: number; // 0 to 2000
  cognition: number; // 0 to 800
}

export function mmeFigures(answers: readonly MmeAnswer[]): MmeFigures {
  const tasks = new Map<string, number>();
  for (const task of new Set(answers.map((answer) => answer.task))) {
    const of = answers.filter((answer) => answer.task === task);
    const whole = new Map<string, boolean>();
    for (const { picture, right } of of) whole.set(picture, right && (whole.get(picture) ?? true));
    const pictures = [...whole.values()];
    const right = of.filter((answer) => answer.right).length;
    tasks.set(task, 100 * share(right, of.length) + 100 * share(pictures.filter(Boolean).length, pictures.length));
  }
  const sum = (names: readonly string[]) => names.reduce((total, name) => total + (tasks.get(name) ?? 0), 0);
  return { tasks, perception: sum(PERCEPTION), cognition: sum(COGNITION) };
}
