/** The published metrics: the golden vectors of their own scripts, and 500 cases each against a twin written from the definition. */
import { describe, expect, it } from 'vitest';
import { accuracy, circularAccuracy } from '../../src/eval/metrics/accuracy.js';
import { calibrationFigures } from '../../src/eval/metrics/calibration.js';
import { containment } from '../../src/eval/metrics/containment.js';
import { CONTRACTIONS } from '../../src/eval/metrics/contractions.js';
import { mcnemar } from '../../src/eval/metrics/mcnemar.js';
import { COGNITION, mmeFigures, PERCEPTION } from '../../src/eval/metrics/mme.js';
import { vqaAccuracy } from '../../src/eval/metrics/vqa.js';
import { vqaText } from '../../src/eval/metrics/vqa-text.js';
import { yesNoFigures } from '../../src/eval/metrics/yes-no.js';
import { Random } from '../support/random.js';
import * as twin from './twins.js';

const CASES = 500;

function each(name: string, check: (rand: Random, seed: number) => void): void {
  it(`${name}: ${CASES} cases`, () => {
    for (let seed = 1; seed <= CASES; seed++) check(new Random(seed), seed);
  });
}

describe('normalized answers', () => {
  it.each([
    ['3.', '3'],
    ['3.5', '3.5'],
    ['a.b', 'ab'],
    ['U.S.', 'us'],
    ['1,000', '1000'],
    ['$5.00', '$5.00'],
    ['12:30', '12:30'],
    ['10%', '10%'],
    ['dont know', "don't know"],
    ["don't", "don't"],
    ["The dog's ball", "dog 's ball"],
    ['t-shirt', 't shirt'],
    ['red/blue', 'red blue'],
    ['x - y', 'x y'],
    ['two', '2'],
    ['none', '0'],
    ['a  man', 'man'],
    ['Yes, it is.', 'yes it is'],
    ['No.\n', 'no'],
    ['', ''],
    ["somebody'd", 'somebodyd'],
    ["y'allll", "y'all'll"],
    ['Im here', 'im here'],
  ])('%j is %j', (raw, expected) => expect(vqaText(raw)).toBe(expected));

  it('keep the dots behind the 32nd', () => {
    expect(vqaText(Array(21).fill('. .').join(''))).toBe(twin.vqaText(Array(21).fill('. .').join('')));
    expect(vqaText('.'.repeat(42))).toBe('.'.repeat(10));
    expect(vqaText('.'.repeat(32))).toBe('');
  });

  it('mend 114 spellings', () => expect(CONTRACTIONS.size).toBe(114));

  const parts = [
    ...'aAbz019.,;:/[]"{}()=+\\_-><@`?!\'%$&#*',
    ' ',
    ' ',
    '\n',
    '\t',
    'the ',
    ' an ',
    'two ',
    'None',
    "'s",
    'dont',
    ' cant ',
    '\u00a0',
    '\u001f',
    'É',
    '٣',
    '…',
  ];
  each('as the twin says', (rand, seed) => {
    const text = rand.text(parts, 0, seed % 9 === 0 ? 90 : 14);
    expect(vqaText(text), JSON.stringify(text)).toBe(twin.vqaText(text));
  });
});

describe('VQA accuracy', () => {
  it.each([
    [0, 0],
    [1, 0.3],
    [2, 0.6],
    [3, 0.9],
    [4, 1],
    [9, 1],
    [10, 1],
  ])('of ten people, %i of them agreeing, is %f', (agreeing, expected) => {
    const people = Array.from({ length: 10 }, (_, i) => (i < agreeing ? 'The Cat.' : 'dog'));
    expect(vqaAccuracy('cat', people)).toBe(expected);
  });

  each('leave one out, for any number of people', (rand, seed) => {
    const said = ['cat', 'Cat.', 'dog', 'two', '2', ''];
    const people = Array.from({ length: seed % 3 === 0 ? 1 + rand.below(12) : 10 }, () => rand.pick(said));
    const answer = rand.pick(said);
    expect(vqaAccuracy(answer, people)).toBeCloseTo(twin.vqaAccuracy(answer, people), 12);
  });
});

describe('yes and no', () => {
  it('are 0 where there is nothing to divide by', () => {
    expect(yesNoFigures([{ said: false, truth: false }])).toEqual({ accuracy: 1, precision: 0, recall: 0, f1: 0, yesRatio: 0 });
    expect(yesNoFigures([])).toEqual({ accuracy: 0, precision: 0, recall: 0, f1: 0, yesRatio: 0 });
  });

  each('precision, recall, F1', (rand) => {
    const answers = Array.from({ length: rand.below(40) }, () => ({ said: rand.below(3) > 0, truth: rand.below(2) > 0 }));
    const { accuracy: right, f1, yesRatio } = yesNoFigures(answers);
    const [expectedRight, expectedF1, expectedYes] = twin.yesNo(answers);
    expect([right, f1, yesRatio].map((value) => value.toFixed(12))).toEqual(
      [expectedRight, expectedF1, expectedYes].map((value) => value?.toFixed(12)),
    );
  });
});

describe('MME', () => {
  it('gives 200 to a task where everything is right, 2000 and 800 to all', () => {
    const all = [...PERCEPTION, ...COGNITION].flatMap((task) => [0, 1, 2, 3].map((i) => ({ task, picture: `${i % 2}`, right: true })));
    const { tasks, perception, cognition } = mmeFigures(all);
    expect([[...tasks.values()].every((score) => score === 200), perception, cognition]).toEqual([true, 2000, 800]);
  });

  it('pairs by picture, not by place', () => {
    const of = (picture: string, right: boolean) => ({ task: 'OCR', picture, right });
    expect(mmeFigures([of('a', true), of('b', false), of('a', true), of('b', true)]).tasks.get('OCR')).toBe(75 + 50);
  });

  each('in any order', (rand) => {
    const tasks = [rand.pick(PERCEPTION), rand.pick(PERCEPTION), rand.pick(COGNITION)];
    const answers = tasks.flatMap((task) =>
      Array.from({ length: 1 + rand.below(5) }, (_, i) => `${i}`).flatMap((picture) =>
        [0, 1].map(() => ({ task, picture: `${task}${picture}`, right: rand.below(3) > 0 })),
      ),
    );
    answers.sort(() => rand.below(3) - 1);
    const figures = mmeFigures(answers);
    const [perception, cognition] = twin.mme(answers);
    expect(figures.perception).toBeCloseTo(perception, 9);
    expect(figures.cognition).toBeCloseTo(cognition, 9);
  });
});

describe('accuracy', () => {
  each('of all and of each category', (rand) => {
    const answers = Array.from({ length: rand.below(30) }, () => ({
      right: rand.below(2) > 0,
      categories: ['x', 'y', 'z'].filter(() => rand.below(2) > 0),
    }));
    const { total, categories } = accuracy(answers);
    expect(total).toBeCloseTo(twin.mean(answers.map(({ right }) => Number(right))), 12);
    for (const name of ['x', 'y', 'z']) {
      const of = answers.filter((answer) => answer.categories.includes(name));
      if (of.length === 0) expect(categories.has(name)).toBe(false);
      else expect(categories.get(name)).toBeCloseTo(twin.mean(of.map(({ right }) => Number(right))), 12);
    }
  });

  it('in circles needs every rotation', () => {
    const of = (question: string, right: boolean) => ({ question, right, categories: ['k'] });
    const { total, categories } = circularAccuracy([of('1', true), of('2', true), of('1', true), of('2', false), of('1', true)]);
    expect([total, [...categories]]).toEqual([0.5, [['k', 0.5]]]);
  });

  each('in circles', (rand) => {
    const rows = Array.from({ length: rand.below(40) }, () => ({ question: `${rand.below(9)}`, right: rand.below(4) > 0, categories: [] }));
    expect(circularAccuracy(rows).total).toBeCloseTo(twin.circular(rows), 12);
  });
});

describe('the lower bound of MM-Vet', () => {
  it.each([
    ['It is x=-1 or 5 dogs.', 'x=-1<OR>x=-5', 1],
    ['a red car and a tree', 'red<AND>tree<AND>house', 2 / 3],
    ['a redder car', 'red', 0],
    ['two cats', '2', 1],
    ['anything', 'a', 0],
    ['', 'red', 0],
    ['red', 'blue<AND>green<OR>red', 1],
  ])('%j for %j is %f', (answer, truth, expected) => expect(containment(answer, truth)).toBeCloseTo(expected, 12));

  each('word for word', (rand) => {
    const word = () => rand.pick(['red', 'Red.', 'blue', 'two', 'dont', 'the']);
    const answer = Array.from({ length: rand.below(8) }, word).join(' ');
    const alternative = () => Array.from({ length: 1 + rand.below(3) }, () => `${word()}${rand.below(3) === 0 ? ` ${word()}` : ''}`).join('<AND>');
    const truth = Array.from({ length: 1 + rand.below(3) }, alternative).join('<OR>');
    expect(containment(answer, truth), `${answer} | ${truth}`).toBeCloseTo(twin.containment(answer, truth), 12);
  });
});

describe('calibration', () => {
  it('is perfect where answers are right as often as they say', () => {
    const answers = Array.from({ length: 10 }, (_, i) => ({ confidence: 0.7, right: i < 7 ? 1 : 0 }));
    const { error, bins } = calibrationFigures(answers);
    expect(error).toBeCloseTo(0, 12);
    expect(bins.filter(({ count }) => count > 0)).toEqual([{ from: 0.6, to: 0.7, count: 10, confidence: expect.closeTo(0.7), right: 0.7 }]);
  });

  it('has the edges where they are printed', () => {
    const at = (confidence: number) => calibrationFigures([{ confidence, right: 1 }]).bins.findIndex(({ count }) => count === 1);
    expect([0, 0.1, 0.1000001, 0.3, 0.6, 0.7, 1].map(at)).toEqual([0, 0, 1, 2, 5, 6, 9]);
  });

  each('expected error', (rand) => {
    const answers = Array.from({ length: rand.below(60) }, () => ({ confidence: rand.below(101) / 100, right: rand.below(2) }));
    expect(calibrationFigures(answers).error).toBeCloseTo(twin.calibrationError(answers), 12);
  });
});

describe("McNemar's test", () => {
  it.each([
    [0, 0, 1],
    [1, 0, 1],
    [5, 0, 0.0625],
    [10, 2, 0.03857421875],
    [6, 6, 1],
  ])('%i against %i: p = %f', (onlyA, onlyB, p) => {
    const a = [...Array(onlyA).fill(1), ...Array(onlyB).fill(0), 1, 0];
    const b = [...Array(onlyA).fill(0), ...Array(onlyB).fill(1), 1, 0];
    expect(mcnemar(a, b)).toEqual({ onlyA, onlyB, p: expect.closeTo(p, 12) });
  });

  it('holds for thousands of differences', () => {
    const of = (onlyA: number, onlyB: number) =>
      mcnemar([...Array(onlyA).fill(1), ...Array(onlyB).fill(0)], [...Array(onlyA).fill(0), ...Array(onlyB).fill(1)]).p;
    expect(of(5000, 5000)).toBeCloseTo(1, 9);
    expect(of(5100, 4900)).toBeCloseTo(0.0466, 3); // z = 1.99
    expect(of(10_000, 1)).toBe(0);
  });

  each('against counting every throw', (rand) => {
    const scores = () => Array.from({ length: 60 }, () => rand.below(4) / 3);
    const [a, b] = [scores(), scores()];
    expect(mcnemar(a, b).p).toBeCloseTo(twin.signTest(a, b), 9);
  });
});
