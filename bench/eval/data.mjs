// Small copies of every benchmark in the layout of LLaVA's folder playground/data/eval: ten pictures of the synthetic kitchen, some ten questions of each.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { fromDist } from '../../scripts/arguments.mjs';

const PICTURES = 10;
const SHORT = 'Answer the question using a single word or phrase.';
const LETTERS = ['A', 'B', 'C', 'D'];
const LAST = 3;
const SPLITS = ['adversarial', 'popular', 'random'];
const TASKS = ['existence', 'count', 'position', 'color', 'scene'];

/** Writes those of `BENCHMARKS` below `folder`: the same bytes every time. */
export async function writeData(folder) {
  const [{ makeScene, renderScene }, { askAbout }] = await Promise.all(['camera/kitchen.js', 'camera/kitchen-questions.js'].map(fromDist));
  const scenes = Array.from({ length: PICTURES }, (_, i) => sceneOf(makeScene(i + 1), askAbout(makeScene(i + 1), i + 1, 200)));
  const jpegs = await Promise.all(
    scenes.map(async ({ scene }) => {
      const { data, width, height } = await renderScene(scene);
      return await sharp(data, { raw: { width, height, channels: 3 } })
        .jpeg()
        .toBuffer();
    }),
  );
  for (const { text, pictures } of Object.values(MAKERS).map((make) => make(scenes, jpegs))) {
    for (const [path, content] of Object.entries(text)) await write(join(folder, path), content);
    for (const [path, picture] of Object.entries(pictures)) await write(join(folder, path), jpegs[picture]);
  }
}

/** What can be asked about a scene: questions with one word for an answer, those of them with yes or no, and others with four options, the last one right. */
function sceneOf(scene, asked) {
  const short = asked.filter(({ kind }) => kind !== null).map(({ prompt, ...rest }) => ({ question: prompt.split('\n')[0], ...rest }));
  const words = [...new Map(short.map((each) => [each.question, each])).values()];
  const choices = words
    .filter(({ kind }) => kind !== 'yes-no')
    .map(({ question, answer, kind }) => ({ question, options: [...kind.filter((option) => option !== answer).slice(0, 3), answer] }));
  return { scene, words, yesNo: words.filter(({ kind }) => kind === 'yes-no'), choices };
}

async function write(path, content) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const ten = (of) => Array.from({ length: PICTURES }, (_, i) => of(i));
const twoEach = (scenes, i) => scenes[i >> 1].words[i % 2];
const named = (name) => Object.fromEntries(ten((i) => [name(i), i]));
const optionLines = (options) => options.map((option, i) => `${LETTERS[i]}. ${option}`).join('\n');

/** Texts and pictures by path: several questions about a picture where the original has several, and one where it has one. */
const MAKERS = {
  vqav2: (scenes) => {
    const asked = lines(ten((i) => ({ question_id: i, image: `COCO_test2015_${i >> 1}.jpg`, text: `${twoEach(scenes, i).question}\n${SHORT}` })));
    return {
      text: { 'vqav2/llava_vqav2_mscoco_test-dev2015.jsonl': asked, 'vqav2/llava_vqav2_mscoco_test2015.jsonl': asked },
      pictures: named((i) => `vqav2/test2015/COCO_test2015_${i}.jpg`),
    };
  },
  gqa: (scenes) => ({
    text: {
      'gqa/llava_gqa_testdev_balanced.jsonl': lines(
        ten((i) => ({ question_id: `q${i}`, image: `n${i >> 1}.jpg`, text: `${twoEach(scenes, i).question}\n${SHORT}` })),
      ),
      'gqa/testdev_balanced_questions.json': JSON.stringify(
        Object.fromEntries(ten((i) => [`q${i}`, { answer: twoEach(scenes, i).answer.toLowerCase() }])),
      ),
    },
    pictures: named((i) => `gqa/images/n${i}.jpg`),
  }),
  vizwiz: (scenes) => ({
    text: {
      'vizwiz/llava_test.jsonl': lines(
        ten((i) => ({
          question_id: i,
          image: `VizWiz_test_${i}.jpg`,
          text: `${scenes[i].words[0].question}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n${SHORT}`,
        })),
      ),
    },
    pictures: named((i) => `vizwiz/test/VizWiz_test_${i}.jpg`),
  }),
  scienceqa: (scenes) => ({
    text: {
      'scienceqa/llava_test_CQM-A.json': JSON.stringify(
        ten((i) => {
          const { question, options } = scenes[i].choices[0];
          return {
            id: `${i}`,
            image: 'image.png',
            conversations: [{ from: 'human', value: `<image>\nContext: A kitchen.\n${question}\n${optionLines(options)}` }],
          };
        }),
      ),
      'scienceqa/problems.json': JSON.stringify(
        Object.fromEntries(ten((i) => [i, { question: scenes[i].choices[0].question, choices: scenes[i].choices[0].options, answer: LAST }])),
      ),
      'scienceqa/pid_splits.json': JSON.stringify({ test: ten(String) }),
    },
    pictures: named((i) => `scienceqa/images/test/${i}/image.png`),
  }),
  textvqa: (scenes) => ({
    text: {
      'textvqa/llava_textvqa_val_v051_ocr.jsonl': lines(
        ten((i) => ({
          question_id: `p${i}`,
          image: `p${i}.jpg`,
          text: `${scenes[i].words[0].question}\nReference OCR token: STOP, 12, EXIT, 24 h\n${SHORT}`,
        })),
      ),
      'textvqa/TextVQA_0.5.1_val.json': JSON.stringify({
        data: ten((i) => ({
          image_id: `p${i}`,
          question: scenes[i].words[0].question,
          answers: Array(10).fill(scenes[i].words[0].answer.toLowerCase()),
        })),
      }),
    },
    pictures: named((i) => `textvqa/train_images/p${i}.jpg`),
  }),
  pope: (scenes) => {
    const asked = SPLITS.flatMap((split) =>
      [0, 1].flatMap((of) => scenes[of].yesNo.slice(0, 6).map(({ question, answer }) => ({ split, of, question, answer }))),
    );
    const image = (of) => `COCO_val2014_${of}.jpg`;
    const labels = (split) =>
      lines(
        asked
          .filter((each) => each.split === split)
          .map(({ of, question, answer }) => ({ image: image(of), text: question, label: answer.toLowerCase() })),
      );
    return {
      text: {
        'pope/llava_pope_test.jsonl': lines(
          asked.map(({ split, of, question }, i) => ({ question_id: i, image: image(of), text: `${question}\n${SHORT}`, category: split })),
        ),
        ...Object.fromEntries(SPLITS.map((split) => [`pope/coco_pope_${split}.json`, labels(split)])),
      },
      pictures: { [`pope/val2014/${image(0)}`]: 0, [`pope/val2014/${image(1)}`]: 1 },
    };
  },
  mme: (scenes) => {
    const root = 'MME/MME_Benchmark_release_version';
    const two = (i) => ['Yes', 'No'].map((said) => scenes[i].yesNo.find(({ answer }) => answer === said));
    const asked = TASKS.flatMap((task, i) =>
      two(i).map(({ question }) => ({ question_id: `${task}/${i}.jpg`, image: `${task}/${i}.jpg`, text: `${question}\n${SHORT}`, category: task })),
    );
    const labels = TASKS.map((task, i) => [
      `${root}/${task}/${i}.txt`,
      two(i)
        .map(({ question, answer }) => `${question} Please answer yes or no.\t${answer}\n`)
        .join(''),
    ]);
    return {
      text: { 'MME/llava_mme.jsonl': lines(asked), ...Object.fromEntries(labels) },
      pictures: Object.fromEntries(TASKS.map((task, i) => [`${root}/${task}/${i}.jpg`, i])),
    };
  },
  mmbench: (scenes, jpegs) => mmbench('mmbench/mmbench_dev_20230712.tsv', scenes, jpegs, (question) => question),
  'mmbench-cn': (scenes, jpegs) =>
    mmbench('mmbench_cn/mmbench_dev_cn_20231003.tsv', scenes, jpegs, (question) => `看这张厨房的图片,回答下面的问题:${question}`),
  seed: (scenes) => ({
    text: {
      'seed_bench/llava-seed-bench.jsonl': lines(
        ten((i) => {
          const { question, options } = scenes[i].choices[0];
          const text = `${question}\n${optionLines(options)}\nAnswer with the option's letter from the given choices directly.`;
          return { question_id: `${i}`, image: `SEED-Bench-image/${i}`, text, category: 'image' };
        }),
      ),
      'seed_bench/SEED-Bench.json': JSON.stringify({
        question_type: { 'Instance Attributes': 1 },
        questions: ten((i) => ({ question_id: `${i}`, data_type: 'image', question_type_id: 1, answer: LETTERS[LAST] })),
      }),
    },
    pictures: named((i) => `seed_bench/SEED-Bench-image/${i}`),
  }),
  'mm-vet': (scenes) => ({
    text: {
      'mm-vet/llava-mm-vet.jsonl': lines(ten((i) => ({ question_id: i, image: `v1_${i}.jpg`, text: scenes[i].words[0].question }))),
      'mm-vet/mm-vet.json': JSON.stringify(Object.fromEntries(ten((i) => [`v1_${i}`, { answer: scenes[i].words[0].answer, capability: ['rec'] }]))),
    },
    pictures: named((i) => `mm-vet/images/v1_${i}.jpg`),
  }),
};

export const BENCHMARKS = Object.keys(MAKERS);

/** Three questions with all rotations of their options, pictures inside. */
function mmbench(path, scenes, jpegs, said) {
  const rows = [0, 1, 2].flatMap((i) => {
    const { question, options } = scenes[i].choices[0];
    return options.map((_, by) => {
      const turned = options.map((__, at) => options[(at + by) % options.length]);
      const letter = LETTERS[turned.indexOf(options[LAST])];
      return [i + 1 + by * 1e6, said(question), '', ...turned, letter, 'attribute', jpegs[i].toString('base64'), 'kitchen', 'perception', '', 'dev'];
    });
  });
  const columns = ['index', 'question', 'hint', ...LETTERS, 'answer', 'category', 'image', 'source', 'l2-category', 'comment', 'split'];
  return { text: { [path]: [columns, ...rows].map((row) => `${row.join('\t')}\n`).join('') }, pictures: {} };
}
