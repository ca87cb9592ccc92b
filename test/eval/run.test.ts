/** Questions of every benchmark through the runner and the metrics, by a model that says what it was told to: the number is the one known by construction. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { Answers, promptHash } from '../../src/eval/answers.js';
import type { Dataset, Item } from '../../src/eval/item.js';
import { kitchen } from '../../src/eval/kitchen.js';
import { openBenchmark, type PublishedBenchmark } from '../../src/eval/layouts/open.js';
import type { Mode } from '../../src/eval/mark.js';
import { askable, type Looked, type Model, type RunOptions, run } from '../../src/eval/run.js';
import { type Answered, marksOf, type Score, score } from '../../src/eval/score.js';
import { preprocessing, SIGLIP } from '../../src/package/pictures.js';
import { EXPECTED, type Made, makeFolders, SAID } from './folders.js';

let root: string;
let made: Made;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'mipha-eval-'));
  made = await makeFolders(root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const manifest = { preprocessing: preprocessing(SIGLIP, 112, 'pad') };
const squeeze = (text: string) => text.replace(/\s+/g, ' ');

interface Watched extends Model {
  looks: { width: number; height: number }[];
  batches: number[];
  most: number; // tokens of an answer, lately
  open: number;
}

const PROMPT = 50; // tokens

/** Says what `answer` says to a prompt. `room`: tokens that prompt and answer have. */
function model(answer: (prompt: string) => { text: string; value?: unknown; confidence?: number | null }, room = Number.POSITIVE_INFINITY): Watched {
  const watched: Watched = {
    looks: [],
    batches: [],
    most: 0,
    open: 0,
    look: async ({ width, height }) => {
      watched.looks.push({ width, height });
      watched.open++;
      const looked: Looked = {
        askAll: async (questions) => {
          watched.batches.push(questions.length);
          return questions.map(({ question, maxTokens = 1 }) => {
            if (maxTokens + PROMPT > room) {
              throw new MiphaError('ERR_CONTEXT_FULL', 'too long', { details: { neededTokens: maxTokens + PROMPT, availableTokens: room } });
            }
            watched.most = maxTokens;
            const { text, value = text, confidence = null } = answer(question);
            return { text, value, confidence };
          });
        },
        dispose: async () => void watched.open--,
      };
      return looked;
    },
  };
  return watched;
}

function planned(prompt: string): { text: string } {
  const [, text = 'nothing planned'] = Object.entries(SAID).find(([question]) => squeeze(prompt).includes(squeeze(question))) ?? [];
  return { text };
}

/** The letter that is right for all items but those of the question, in its first place. */
function letters(items: readonly Item[], wrong: string): (prompt: string) => { text: string } {
  const byPrompt = new Map(items.map((item) => [item.prompt, item]));
  return (prompt) => {
    const item = byPrompt.get(prompt) as Item;
    const isWrong = item.question.includes(wrong) && item.truth[0] === 'A';
    return { text: isWrong ? 'B' : (item.truth[0] as string) };
  };
}

const none = () => new Answers(null, {});

async function scoreOf(dataset: Dataset, by: Model, mode: Mode = 'paper', options: Partial<RunOptions> = {}): Promise<Score> {
  const asked = askable(dataset, mode);
  const answers = await run(asked, by, { mode, answers: none(), manifest, ...options });
  return score(asked.benchmark, mode, marksOf(asked, mode, answers));
}

describe('the number known by construction', () => {
  const layouts = [
    ['tables', () => made.tables],
    ['folder', () => made.folder],
  ] as const;

  it.each(layouts)('of %s: free words', async (_, data) => {
    const of = async (benchmark: PublishedBenchmark) => (await scoreOf(await openBenchmark(benchmark, data()), model(planned))).value;
    expect(await of('textvqa')).toBeCloseTo(EXPECTED.vqa, 9);
    expect(await of('vizwiz-val')).toBeCloseTo(EXPECTED.vqa, 9);
    expect(await of('gqa')).toBeCloseTo(EXPECTED.gqa, 9);
    expect(await of('pope')).toBeCloseTo(EXPECTED.pope, 9);
    expect(await of('mme')).toBeCloseTo(EXPECTED.mme, 9);
    expect(await of('mm-vet')).toBeCloseTo(EXPECTED.mmVet, 9);
  });

  it.each(layouts)('of %s: letters', async (_, data) => {
    const of = async (benchmark: PublishedBenchmark, wrong: string) => {
      const dataset = await openBenchmark(benchmark, data());
      return await scoreOf(dataset, model(letters(dataset.items, wrong)));
    };
    expect((await of('scienceqa', 'Which thing')).value).toBeCloseTo(200 / 3, 9);
    const seed = await of('seed', 'Which thing');
    expect([seed.value, seed.parts]).toEqual([
      expect.closeTo(200 / 3, 9),
      [
        { name: 'Spatial', value: 0 },
        { name: 'Kind', value: 100 },
      ],
    ]);
    for (const name of ['mmbench', 'mmbench-cn'] as const) {
      const { value, metric, parts, scored } = await of(name, 'made of'); // one of its two rotations is wrong
      expect([metric, value, scored, parts[0]]).toEqual([
        'circular accuracy',
        expect.closeTo(200 / 3, 9),
        9,
        { name: 'rows alone, not circular', value: expect.closeTo(800 / 9, 9) },
      ]);
    }
  });

  it('is none where only a server knows, and what is unclear is counted', async () => {
    for (const name of ['vqav2', 'vizwiz'] as const) {
      expect(await scoreOf(await openBenchmark(name, made.folder), model(planned))).toMatchObject({ value: null, scored: 0, unparsable: 0 });
    }
    expect(await scoreOf(await openBenchmark('mme', made.tables), model(planned))).toMatchObject({ scored: 6, unparsable: 1 });
    expect(await scoreOf(await openBenchmark('pope', made.tables), model(planned))).toMatchObject({ scored: 4, unparsable: 1 });
    expect(
      await scoreOf(
        await openBenchmark('seed', made.tables),
        model(() => ({ text: 'A.' })),
      ),
    ).toMatchObject({ value: 0, unparsable: 3 });
  });

  it('of typed answers has the calibration of their confidence', async () => {
    const dataset = await openBenchmark('pope', made.tables);
    const said = await scoreOf(
      dataset,
      model(() => ({ text: 'Yes.', value: true, confidence: 0.75 })),
      'constrained',
    );
    expect(said).toMatchObject({ unparsable: 0, calibration: { error: 0.25 } });
    const seed = await openBenchmark('seed', made.tables);
    expect(
      (
        await scoreOf(
          seed,
          model(() => ({ text: 'C', value: 'C', confidence: 1 })),
          'constrained',
        )
      ).value,
    ).toBeCloseTo(100 / 3, 9);
    expect(() =>
      askable({ ...dataset, benchmark: 'gqa', items: dataset.items.map((item) => ({ ...item, answer: { kind: 'text' } })) }, 'constrained'),
    ).toThrow('expected paper, as gqa asks for free words');
  });
});

describe('a run', () => {
  it('looks once at a picture, asks in batches, and leaves nothing open', async () => {
    const dataset = kitchen(3);
    const by = model(() => ({ text: 'No' }));
    await scoreOf({ ...dataset, items: [...dataset.items].sort((a, b) => a.id.slice(-1).localeCompare(b.id.slice(-1))) }, by);
    expect([by.looks.length, by.batches, by.open]).toEqual([3, [8, 8, 8], 0]);
    const many = kitchen(1).items.flatMap((item) => [1, 2, 3].map((i) => ({ ...item, id: `${item.id}.${i}` })));
    await scoreOf({ ...dataset, items: many }, by);
    expect(by.batches.slice(3)).toEqual([8, 8, 8]);
  });

  it('pads for all but MM-Vet, which is squashed', async () => {
    const by = model(planned);
    await scoreOf(await openBenchmark('gqa', made.tables), by);
    await scoreOf(await openBenchmark('mm-vet', made.tables), by);
    expect(by.looks).toEqual([...Array(2).fill({ width: 320, height: 240 }), ...Array(2).fill({ width: 112, height: 112 })]);
  });

  it('takes the tokens that the context leaves', async () => {
    const by = model(planned, 77);
    expect((await scoreOf(await openBenchmark('gqa', made.tables), by)).value).toBeCloseTo(EXPECTED.gqa, 9);
    expect(by.most).toBe(27);
    const full = model(planned, 50);
    await expect(scoreOf(await openBenchmark('gqa', made.tables), full)).rejects.toMatchObject({
      code: 'ERR_CONTEXT_FULL',
      message: '0 of gqa: too long',
    });
    expect(full.open).toBe(0);
  });

  it('says how far it is, and ends at a signal with what it has', async () => {
    const told: [number, number, boolean][] = [];
    await scoreOf(
      kitchen(2),
      model(() => ({ text: 'No' })),
      'paper',
      { onProgress: (done, total, left) => told.push([done, total, left === null]) },
    );
    expect(told).toEqual([
      [0, 16, true],
      [8, 16, false],
      [16, 16, false],
    ]);
    const controller = new AbortController();
    const path = join(root, 'aborted.ndjson');
    const answers = new Answers(path, {});
    const end = scoreOf(
      kitchen(2),
      model(() => ({ text: 'No' })),
      'paper',
      { answers, signal: controller.signal, onProgress: (done) => done > 0 && controller.abort(new Error('enough')) },
    );
    await expect(end).rejects.toThrow('enough');
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(9);
  });
});

describe('answers on disk', () => {
  const about = { model: 'nano' };

  it('are taken wherever the file was cut, and the number is the same', async () => {
    const path = join(root, 'cut.ndjson');
    const dataset = await openBenchmark('pope', made.folder);
    const whole = await scoreOf(dataset, model(planned), 'paper', { answers: new Answers(path, about) });
    const text = readFileSync(path);
    for (let bytes = 0; bytes <= text.length; bytes += 7) {
      writeFileSync(path, text.subarray(0, bytes));
      expect(await scoreOf(dataset, model(planned), 'paper', { answers: new Answers(path, about) })).toEqual(whole);
    }
    const asked = model(planned);
    await scoreOf(dataset, asked, 'paper', { answers: new Answers(path, about) });
    expect(asked.looks).toEqual([]);
  });

  it('are asked for anew where prompt or picture are others', async () => {
    const path = join(root, 'changed.ndjson');
    const dataset = kitchen(1);
    await scoreOf(
      dataset,
      model(() => ({ text: 'No' })),
      'paper',
      { answers: new Answers(path, about) },
    );
    const by = model(() => ({ text: 'Yes' }));
    const items = dataset.items.map((item, i) =>
      i === 2 ? { ...item, prompt: `${item.prompt}!` } : i === 5 ? { ...item, picture: { ...item.picture, key: 'other' } } : item,
    );
    await scoreOf({ ...dataset, items }, by, 'paper', { answers: new Answers(path, about) });
    expect(by.batches).toEqual([1, 1]);
    expect(promptHash(items)).not.toBe(promptHash(dataset.items));
  });

  it('of something else are refused, and so are damaged ones', () => {
    const path = join(root, 'other.ndjson');
    const answers = new Answers(path, about);
    answers.add(kitchen(1).items.map((item) => ({ item, answer: { text: 'é', confidence: null, ms: 1 } satisfies Answered })));
    expect(() => new Answers(path, { model: '3b' })).toThrow(`${path}:1: expected {"model":"3b"}, received {"model":"nano"}`);
    appendFileSync(path, '{"id":1}\n{}');
    expect(() => new Answers(path, about)).toThrow(`${path}:10: expected an answer, received`);
    truncateSync(path, 20);
    expect(readFileSync(path, 'utf8')).toBe('{"model":"nano"}\n{"i');
    new Answers(path, about);
    expect(readFileSync(path, 'utf8')).toBe('{"model":"nano"}\n');
  });
});

it('a hundred thousand questions take no more memory than the answers to them', async () => {
  const [base] = kitchen(1).items as [Item];
  const of = (count: number): Dataset => ({
    ...kitchen(1),
    items: Array.from({ length: count }, (_, i) => ({ ...base, id: `${i}`, prompt: `${base.prompt} ${i}`, group: `${i}` })),
  });
  const heap = async (count: number) => {
    const dataset = of(count);
    const before = process.memoryUsage().heapUsed;
    const answers = await run(
      dataset,
      model(() => ({ text: 'No' })),
      { mode: 'paper', answers: none(), manifest },
    );
    return (process.memoryUsage().heapUsed - before) / answers.size;
  };
  await heap(1000);
  expect(await heap(100_000)).toBeLessThan(2000); // bytes an item, garbage included
});
