/** The demo's six standing questions, each with the truth that only the drawing hand knows. */
import { COLORS, type Scene } from '../camera/kitchen.js';
import type { AnswerSpec, Value } from '../watch/spec.js';

export interface DemoWatch {
  question: string;
  answer: AnswerSpec;
  truth(scene: Scene): Value;
}

const count = { type: 'number', min: 0, max: 9, decimals: 0 } as const;

export const WATCHES: Record<string, DemoWatch> = {
  lamp: { question: 'Is the lamp on?', answer: { type: 'boolean' }, truth: (scene) => scene.lampOn },
  door: { question: 'Is the door open?', answer: { type: 'boolean' }, truth: (scene) => scene.doorOpen },
  person: { question: 'Is there a person?', answer: { type: 'boolean' }, truth: (scene) => scene.person !== null },
  objects: { question: 'How many objects are on the table?', answer: count, truth: (scene) => scene.objects.length },
  cup: {
    question: 'What color is the cup?',
    answer: { type: 'choice', choices: [...COLORS] },
    truth: (scene) => scene.objects.find(({ shape }) => shape === 'cup')?.color ?? 'none',
  },
  things: { question: 'What is on the table?', answer: { type: 'text', max_chars: 120 }, truth: (scene) => named(scene.objects) },
};

/** As mipha-nano was taught to list things: "A red cup, a blue box and a white ball are on the table." */
function named(things: Scene['objects']): string {
  const items = things.map(({ shape, color }) => `${/^[aeiou]/.test(color) ? 'an' : 'a'} ${color} ${shape}`);
  if (items.length === 0) return 'The table is empty.';
  const list = items.length === 1 ? `${items[0]}` : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
  return `${list[0]?.toUpperCase()}${list.slice(1)} ${items.length === 1 ? 'is' : 'are'} on the table.`;
}
