/** Where people get each benchmark, and under which licence: said where it is missing. Nothing is downloaded. */
import type { Benchmark } from '../item.js';

export interface Source {
  title: string;
  from: string;
  /** As its makers state it; "see there" where they state none that is short. */
  licence: string;
  /** How many there are, at least: a file that was cut between two lines has fewer. */
  questions?: number;
}

const VLMEVALKIT = 'the table of VLMEvalKit (github.com/open-compass/VLMEvalKit fetches it into ~/LMUData)';
const LLAVA = "LLaVA's eval.zip (github.com/haotian-liu/LLaVA, docs/Evaluation.md)";
/** Of the dev tables of 2023-10-03, circular copies included, in English and Chinese alike (evalscope.readthedocs.io, benchmark mm_bench). */
const MMBENCH_ROWS = 4329;

export const SOURCES: Record<Exclude<Benchmark, 'kitchen'>, Source> = {
  vqav2: {
    title: 'VQAv2 test-dev',
    from: `${LLAVA} and COCO's test2015 pictures (cocodataset.org)`,
    licence: 'CC BY 4.0; pictures under the terms of Flickr',
  },
  gqa: {
    title: 'GQA testdev-balanced',
    from: `${VLMEVALKIT}, or ${LLAVA} with questions and pictures of cs.stanford.edu/people/dorarad/gqa`,
    licence: 'CC BY 4.0',
    questions: 12578,
  },
  vizwiz: { title: 'VizWiz test', from: `${LLAVA} with the pictures of vizwiz.org`, licence: 'CC BY 4.0' },
  'vizwiz-val': { title: 'VizWiz val', from: `${VLMEVALKIT}, or val.json and val/ of vizwiz.org`, licence: 'CC BY 4.0' },
  scienceqa: {
    title: 'ScienceQA, items with a picture',
    from: `${VLMEVALKIT}, or ${LLAVA} with github.com/lupantech/ScienceQA`,
    licence: 'CC BY-NC-SA 4.0',
    questions: 2017,
  },
  textvqa: {
    title: 'TextVQA val',
    from: `${VLMEVALKIT}, without OCR tokens; with them, as in the paper: ${LLAVA} with textvqa.org`,
    licence: 'CC BY 4.0; pictures CC BY 2.0',
    questions: 5000,
  },
  pope: {
    title: 'POPE',
    from: `${VLMEVALKIT}, or ${LLAVA} with github.com/AoiDragon/POPE and COCO's val2014`,
    licence: 'MIT; pictures under the terms of Flickr',
    questions: 8910,
  },
  mme: {
    title: 'MME',
    from: `${VLMEVALKIT}, or ${LLAVA} with the pictures that its authors send on request`,
    licence: 'for research, see there',
    questions: 2374,
  },
  mmbench: { title: 'MMBench', from: `${VLMEVALKIT}, or mmbench.opencompass.org.cn`, licence: 'see there', questions: MMBENCH_ROWS },
  'mmbench-cn': { title: 'MMBench-CN', from: `${VLMEVALKIT}, or mmbench.opencompass.org.cn`, licence: 'see there', questions: MMBENCH_ROWS },
  seed: {
    title: 'SEED-Bench, pictures',
    from: `${VLMEVALKIT}, or ${LLAVA} with huggingface.co/datasets/AILab-CVC/SEED-Bench`,
    licence: 'CC BY-NC 4.0',
    questions: 14232,
  },
  'mm-vet': { title: 'MM-Vet', from: `${VLMEVALKIT}, or ${LLAVA} with github.com/yuweihao/MM-Vet`, licence: 'see there', questions: 218 },
};
