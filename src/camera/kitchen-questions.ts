/**
 * Questions about a kitchen scene with known answers: what mipha-nano is trained and measured on. As with the scene, the order of the random draws is
 * part of the contract.
 */
import { COLORS, pick, random, type Scene, SHAPES, type Thing } from './kitchen.js';

const SHORT = 'Answer the question using a single word or phrase.';

const article = (word: string) => (/^[aeiou]/.test(word) ? 'an' : 'a');
const named = (thing: Pick<Thing, 'color' | 'shape'>) => `${article(thing.color)} ${thing.color} ${thing.shape}`;
const listed = (items: readonly string[]) => (items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
const plural = (noun: string) => (noun === 'box' ? 'boxes' : `${noun}s`);
const counted = (n: number, noun: string) => `${n} ${n === 1 ? noun : plural(noun)}`;
const isAre = (n: number) => (n === 1 ? 'is' : 'are');
const yesNo = (truth: unknown) => (truth ? 'Yes' : 'No');

/** One long answer that names everything in the scene. */
function describe({ lampOn, doorOpen, person, objects }: Scene): string {
  const things = objects.length === 0 ? 'The table is empty.' : `${capital(listed(objects.map(named)))} ${isAre(objects.length)} on the table.`;
  const room = `The lamp is ${lampOn ? 'on' : 'off'} and the door is ${doorOpen ? 'open' : 'closed'}.`;
  return `${things} ${room}${person ? ' A person is in the room.' : ''}`;
}

interface Asked {
  question: string;
  /** What a short answer can be; without it there is none, or it is free. */
  kind?: 'yes-no' | readonly string[];
  /** null: only a sentence will do. */
  short: string | null;
  long: string;
}

const COUNTS = ['0', '1', '2', '3', '4'];

/** null: the scene does not allow the question. */
type Kind = (scene: Scene, rand: () => number) => Asked | null;
const KINDS: readonly Kind[] = [
  function lamp({ lampOn }, rand) {
    const question = pick(rand, ['Is the lamp on?', 'Is the light on?', 'Is the lamp turned on?']);
    return { question, kind: 'yes-no', short: yesNo(lampOn), long: lampOn ? 'Yes, the lamp is on.' : 'No, the lamp is off.' };
  },
  function opened({ doorOpen }, rand) {
    const question = pick(rand, ['Is the door open?', 'Is the cabinet door open?', 'Is the cabinet open?']);
    return { question, kind: 'yes-no', short: yesNo(doorOpen), long: doorOpen ? 'Yes, the door is open.' : 'No, the door is closed.' };
  },
  function closed({ doorOpen }, rand) {
    const question = pick(rand, ['Is the door closed?', 'Is the cabinet closed?']);
    return { question, kind: 'yes-no', short: yesNo(!doorOpen), long: doorOpen ? 'No, the door is open.' : 'Yes, the door is closed.' };
  },
  function anyone({ person }, rand) {
    const question = pick(rand, ['Is there a person?', 'Is anyone in the room?', 'Do you see a person?']);
    return { question, kind: 'yes-no', short: yesNo(person), long: person ? 'Yes, a person is in the room.' : 'No, nobody is in the room.' };
  },
  function countAll({ objects }, rand) {
    const question = pick(rand, ['How many objects are on the table?', 'How many things are on the table?', 'Count the objects on the table.']);
    return {
      question,
      kind: COUNTS,
      short: `${objects.length}`,
      long: `There ${isAre(objects.length)} ${counted(objects.length, 'object')} on the table.`,
    };
  },
  function empty({ objects }) {
    const long = objects.length
      ? `No, there ${isAre(objects.length)} ${counted(objects.length, 'object')} on the table.`
      : 'Yes, the table is empty.';
    return { question: 'Is the table empty?', kind: 'yes-no', short: yesNo(!objects.length), long };
  },
  function countShape({ objects }, rand) {
    const shape = pick(rand, rand() < 0.6 && objects.length ? objects.map((o) => o.shape) : SHAPES);
    const n = objects.filter((o) => o.shape === shape).length;
    const question = pick(rand, [`How many ${plural(shape)} are there?`, `How many ${plural(shape)} are on the table?`]);
    return { question, kind: COUNTS, short: `${n}`, long: `There ${isAre(n)} ${counted(n, shape)} on the table.` };
  },
  function colorOfShape({ objects }, rand) {
    const unique = objects.filter((o) => objects.filter((p) => p.shape === o.shape).length === 1);
    if (!unique.length) return null;
    const { shape, color } = pick(rand, unique);
    const question = pick(rand, [`What color is the ${shape}?`, `What is the color of the ${shape}?`]);
    return { question, kind: COLORS.map(capital), short: capital(color), long: `The ${shape} is ${color}.` };
  },
  function shapeOfColor({ objects }, rand) {
    const unique = objects.filter((o) => objects.filter((p) => p.color === o.color).length === 1);
    if (!unique.length) return null;
    const { shape, color } = pick(rand, unique);
    return { question: `What is the ${color} object?`, kind: SHAPES.map(capital), short: capital(shape), long: `The ${color} object is a ${shape}.` };
  },
  function isThere({ objects }, rand) {
    const thing = objects.length && rand() < 0.5 ? pick(rand, objects) : { shape: pick(rand, SHAPES), color: pick(rand, COLORS) };
    const yes = objects.some((o) => o.shape === thing.shape && o.color === thing.color);
    const question = pick(rand, [`Is there ${named(thing)}?`, `Do you see ${named(thing)}?`, `Is there ${named(thing)} on the table?`]);
    return {
      question,
      kind: 'yes-no',
      short: yesNo(yes),
      long: yes ? `Yes, there is ${named(thing)} on the table.` : `No, there is no ${thing.color} ${thing.shape}.`,
    };
  },
  function beside({ objects }, rand) {
    if (objects.length < 2) return null;
    const i = Math.floor(rand() * (objects.length - 1));
    const left = rand() < 0.5;
    const pair = objects.slice(i, i + 2) as [Thing, Thing];
    const [answer, ref] = left ? pair : [pair[1], pair[0]];
    if (objects.filter((p) => p.color === ref.color && p.shape === ref.shape).length > 1) return null;
    const where = `to the ${left ? 'left' : 'right'} of the ${ref.color} ${ref.shape}`;
    return { question: `What is ${where}?`, short: capital(named(answer)), long: `${capital(named(answer))} is ${where}.` };
  },
  function onTable({ objects }, rand) {
    const question = pick(rand, ['What is on the table?', 'Which objects are on the table?']);
    if (!objects.length) return { question, short: 'Nothing', long: 'The table is empty.' };
    const things = capital(listed(objects.map(named)));
    return { question, short: things, long: `${things} ${isAre(objects.length)} on the table.` };
  },
  function everything(scene, rand) {
    const question = pick(rand, ['Describe the scene.', 'What do you see?', 'Describe what the camera sees.']);
    return { question, short: null, long: describe(scene) };
  },
];

export interface KitchenQuestion {
  prompt: string;
  answer: string;
  /** A short answer's name and what it can be: yes or no, or one of these; null: free words. */
  kind: 'yes-no' | readonly string[] | null;
  /** Which kind of question it is. */
  name: string;
}

/** `count` questions; the prompt carries a line that asks for a word where the answer is one. */
export function askAbout(scene: Scene, seed: number, count: number): KitchenQuestion[] {
  const rand = random(seed ^ 0x5ca1ab1e);
  const questions: KitchenQuestion[] = [];
  while (questions.length < count) {
    const kind = pick(rand, KINDS);
    const asked = kind(scene, rand);
    if (asked === null) continue;
    const { question, short, long } = asked;
    const brief = short !== null && rand() < 0.6 ? short : null;
    questions.push({
      prompt: brief === null ? question : `${question}\n${SHORT}`,
      answer: brief ?? long,
      kind: brief === null ? null : (asked.kind ?? null),
      name: kind.name,
    });
  }
  return questions;
}
