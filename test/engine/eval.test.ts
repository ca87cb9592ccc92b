import { expect, it } from 'vitest';
import { Mipha } from '../../src/index.js';
import { counts } from '../support/counts.js';
import { evalFigures, evalScenes, NANO } from '../support/nano.js';

const SCENES = counts(16, 512);

/** Questions that end with the suffix line are asked as they stand: the suffix of a typed answer is not added. */
it('INT8 answers the held-out scenes as well as the FP32 reference, and nearly always in the same words', async () => {
  const scenes = evalScenes();
  const figures = evalFigures();
  expect([scenes.length, figures.total]).toEqual([512, 4096]);
  await using mipha = await Mipha.load(NANO);
  let right = 0;
  let referenceRight = 0;
  let identical = 0;
  let total = 0;
  const differences: string[] = [];
  for (const [index, { picture, qa }] of scenes.slice(0, SCENES).entries()) {
    await using view = await mipha.look(picture);
    const answers = await view.askAll(qa.map(([question]) => ({ question, maxTokens: 64 })));
    for (const [i, { text }] of answers.entries()) {
      const reference = figures.answers[index]?.[i];
      total++;
      if (text === qa[i]?.[1]) right++;
      if (reference === qa[i]?.[1]) referenceRight++;
      if (text === reference) identical++;
      else differences.push(`${picture} ${JSON.stringify(qa[i]?.[0])}: ${JSON.stringify(text)}, reference ${JSON.stringify(reference)}`);
    }
  }
  const percent = (count: number) => `${((100 * count) / total).toFixed(2)} %`;
  console.log(
    [
      `INT8 on ${SCENES} held-out scenes: ${right} of ${total} answers right (${percent(right)}), reference ${referenceRight} (${percent(referenceRight)}), ${identical} identical (${percent(identical)})`,
      ...differences,
    ].join('\n'),
  );
  expect(total).toBe(8 * SCENES);
  if (total === figures.total) expect(referenceRight).toBe(figures.right);
  expect(right / total).toBeGreaterThanOrEqual(referenceRight / total - 0.005);
  expect(identical / total).toBeGreaterThanOrEqual(0.99);
}, 1_200_000);
