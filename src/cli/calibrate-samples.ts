/** What calibration runs: a folder of pictures with a file of questions, or benchmarks as `mipha eval` reads them, which have both. */
import { createHash } from 'node:crypto';
import { type Pair, readSamples, type Samples, samplesOf, spread } from '../engine/samples.js';
import { optionError } from '../errors.js';
import { benchmarksIn, openBenchmark } from '../eval/layouts/open.js';
import { pictureBytes } from '../eval/layouts/pictures.js';

/** `prompts`: undefined for benchmarks only. Throws ERR_OPTION, ERR_IMAGE, ERR_CONTEXT_FULL, and what reading the package throws. */
export async function calibrationSamples(folder: string, pictures: string, prompts: string | undefined, count: number): Promise<Samples> {
  const benchmarks = benchmarksIn(pictures);
  if (benchmarks.length === 0) {
    if (prompts === undefined) throw optionError('--prompts', `a file of questions, as ${pictures} has no benchmark`, 'none');
    return await readSamples(folder, pictures, prompts, count);
  }
  if (prompts !== undefined) throw optionError('--prompts', `nothing, as ${pictures} has the questions of ${benchmarks.join(', ')}`, prompts);
  const pairs: Pair[] = [];
  for (const [index, benchmark] of benchmarks.entries()) {
    const share = Math.floor((count * (index + 1)) / benchmarks.length) - Math.floor((count * index) / benchmarks.length);
    for (const { id, picture, prompt } of spread((await openBenchmark(benchmark, pictures)).items, share)) {
      const bytes = await pictureBytes(picture as Parameters<typeof pictureBytes>[0]);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      pairs.push({
        name: `${benchmark}/${picture.name}`,
        sha256,
        image: () => Promise.resolve(bytes),
        question: prompt,
        where: `${benchmark} ${id}`,
      });
    }
  }
  return await samplesOf(folder, pairs);
}
