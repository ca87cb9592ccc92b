// mipha-edge, whole: the SDK on a package of random weights, nothing left out.
import { fromDist } from '../../scripts/arguments.mjs';
import { DECODED, idsOf, ownPrefillOperations, timed } from './stages.mjs';

export async function open({ architecture, paths, shape, threads }) {
  const [{ Mipha }, { makeScene, renderScene }, { z }] = await Promise.all([fromDist('index.js'), fromDist('camera/kitchen.js'), import('zod')]);
  const begun = performance.now();
  const mipha = await Mipha.load(paths.package, { backend: 'cpu', threads, cacheTokens: 2 * shape.context });
  const loadMs = performance.now() - begun;
  const frame = await renderScene(makeScene(1));
  const view = await mipha.look(frame);
  const questions = questionsOf(z);
  const { native } = mipha.engine; // caches of an exact length, which the SDK has no words for
  const kept = await native.converse(-1);
  const fed = { view: -1, maxTokens: DECODED + 1, stopIds: new Int32Array(), temperature: 0, topP: 1, seed: 0 };
  /** The first token comes out of the rows that were handed in. */
  const perToken = ({ decodeMs, ids }) => decodeMs / (ids.length - 1);
  const decode = async (rows, more) => perToken(await native.ask({ ...fed, ids: Int32Array.from(idsOf(rows, shape.tokens)), ...more }).done);
  const behindPicture = async (count) => {
    const ids = Int32Array.from(idsOf(2, shape.tokens));
    const all = await Promise.all(Array.from({ length: count }, () => native.ask({ ...fed, view: view.handle, ids }).done));
    return Math.min(...all.map(perToken)); // of the last that began: all of them from its first token on
  };
  const rows = await questionRows(view, questions);
  const work = {
    prefill: { operations: await ownPrefillOperations(architecture, shape.imageRows, 0) },
    'eight questions': { operations: await ownPrefillOperations(architecture, rows, questions.length) },
  };
  let looked; // for the tower of this round; its prefill is the one of the same look

  return {
    detail: `mipha-edge on ${mipha.status().detail}`,
    loadMs,
    questionRows: rows,
    work,
    stages: {
      tower: async () => {
        looked = await look(mipha, frame);
        return looked.visionMs;
      },
      prefill: async () => {
        const { prefillMs } = looked ?? (await look(mipha, frame));
        looked = undefined;
        return prefillMs;
      },
      'decode, short': () => decode(shape.short),
      'decode, long': () => decode(shape.long, { conversation: kept }), // read once, kept from round to round
      'one decode': () => behindPicture(1),
      'eight decodes': () => behindPicture(8),
      'eight questions': () => timed(() => view.askAll(questions)),
    },
  };
}

async function look(mipha, frame) {
  const view = await mipha.look(frame);
  await view.dispose();
  return view.timings;
}

const questionsOf = (z) => [
  { question: 'Is the lamp on?', as: z.boolean() },
  { question: 'Is the door open?', as: z.boolean() },
  { question: 'Is there a person?', as: z.boolean() },
  { question: 'Is the table empty?', as: z.boolean() },
  { question: 'How many objects are on the table?', as: z.int().min(0).max(9) },
  { question: 'How many balls are on the table?', as: z.int().min(0).max(9) },
  { question: 'What color is the cup?', as: z.enum(['red', 'green', 'blue', 'yellow']) },
  { question: 'What color is the box?', as: z.enum(['red', 'green', 'blue', 'yellow']) },
];

/** Rows that the questions put behind the view, together. */
async function questionRows(view, questions) {
  const answers = await view.askAll(questions);
  return answers.reduce((sum, { tokens }) => sum + tokens.prompt - tokens.reused, 0);
}
