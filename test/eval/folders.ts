/** Tiny copies of every benchmark, in both layouts, made on the spot: the same questions, so that the same number must come of both. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { makeScene, renderScene } from '../../src/camera/kitchen.js';

export const SHORT = 'Answer the question using a single word or phrase.';
export const LETTER = "Answer with the option's letter from the given choices directly.";
const PICTURES = 4;

/** JPEG files: scenes of the kitchen. */
export async function pictures(): Promise<Buffer[]> {
  const scenes = Array.from({ length: PICTURES }, (_, seed) => renderScene(makeScene(seed + 1)));
  return await Promise.all(
    scenes.map(async (scene) => {
      const { data, width, height } = await scene;
      return await sharp(data, { raw: { width, height, channels: 3 } })
        .jpeg()
        .toBuffer();
    }),
  );
}

/** As pandas writes it: quoted where need be. */
export function tsv(columns: readonly string[], rows: readonly Record<string, string | number>[]): string {
  const cell = (value: string | number | undefined) => {
    const text = String(value ?? '');
    return /[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ''))].map((row) => `${row.map(cell).join('\t')}\n`).join('');
}

export const jsonl = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const pythonList = (texts: readonly string[]) => `[${texts.map((text) => (text.includes("'") ? JSON.stringify(text) : `'${text}'`)).join(', ')}]`;

/** `count` of ten say it, the others do not. */
const people = (said: string, count: number) => Array.from({ length: 10 }, (_, i) => (i < count ? said : `other ${i}`));

const VQA = [
  { picture: 0, question: 'What color is the cup?', people: people('yellow', 10) },
  { picture: 0, question: 'What is the man\'s\n"hat"?', people: people("it's red", 3) },
  { picture: 1, question: 'How many boxes are there?', people: people('two', 1) },
];
const GQA = [
  { picture: 0, question: 'Is the door open?', answer: 'yes' },
  { picture: 1, question: 'What is on the table?', answer: 'box' },
  { picture: 0, question: 'Who is there?', answer: 'nobody' },
];
const POPE = [
  { picture: 0, question: 'Is there a cup in the image?', answer: 'yes', splits: ['random', 'popular', 'adversarial'] },
  { picture: 0, question: 'Is there a dog in the image?', answer: 'no', splits: ['random'] },
  { picture: 1, question: 'Is there a box in the image?', answer: 'yes', splits: ['random', 'popular', 'adversarial'] },
  { picture: 1, question: 'Is there a car in the image?', answer: 'no', splits: ['popular', 'adversarial'] },
];
const MME = [
  { task: 'existence', picture: 0, question: 'Is there a cup in this image?', answer: 'Yes' },
  { task: 'existence', picture: 0, question: 'Is there a dog in this image?', answer: 'No' },
  { task: 'posters', picture: 1, question: 'Is this movie titled one?', answer: 'Yes' },
  { task: 'posters', picture: 1, question: 'Is this movie titled two?', answer: 'No' },
  { task: 'code_reasoning', picture: 2, question: 'Is a python code shown?', answer: 'Yes' },
  { task: 'code_reasoning', picture: 2, question: 'Is a C++ code shown?', answer: 'No' },
];
const CHOICES = [
  {
    picture: 0,
    question: 'Which thing is left?',
    hint: '',
    options: ['Cup', 'Box', 'Ball', 'Cone'],
    answer: 0,
    category: 'Spatial',
    science: ['Cup', 'Box', 'Ball', 'Cone', 'Egg'],
  },
  {
    picture: 1,
    question: 'What is it made of?',
    hint: 'It is hard.',
    options: ['Wood', 'Stone'],
    answer: 1,
    category: 'Kind',
    science: ['Wood', 'Stone'],
  },
  {
    picture: 2,
    question: 'What comes next?',
    hint: 'A story\nof two lines.',
    options: ['Sun', 'Rain', 'Snow'],
    answer: 2,
    category: 'Kind',
    science: ['Sun', 'Rain', 'Snow'],
  },
];
const MMVET = [
  { picture: 0, question: 'What is x in the equation?', answer: 'x=-1<OR>x=-5', capability: ['ocr', 'math'] },
  { picture: 1, question: 'What is on the desk?', answer: 'a cup<AND>a box', capability: ['rec'] },
];

/** Words of the question → what the model says. */
export const SAID: Readonly<Record<string, string>> = {
  'What color is the cup?': 'The yellow.', // 1
  'What is the man\'s\n"hat"?': 'Its red', // its stays as it is: 0
  'How many boxes are there?': '2', // 0.3
  'Is the door open?': 'Yes.',
  'What is on the table?': 'box',
  'Who is there?': 'Nobody is there',
  'Is there a cup in the image?': 'Yes',
  'Is there a dog in the image?': 'NO', // a trap: yes
  'Is there a box in the image?': 'no',
  'Is there a car in the image?': 'No, there is not.',
  'Is there a cup in this image?': 'Yes',
  'Is there a dog in this image?': 'No',
  'Is this movie titled one?': 'yes, it is',
  'Is this movie titled two?': 'Yes',
  'Is a python code shown?': 'Perhaps yes',
  'Is a C++ code shown?': 'no',
  'What is x in the equation?': 'It is x=-5, I think.',
  'What is on the desk?': 'There is a cup on it.',
};

/** What comes of it, by construction. VQA: mean of 1, 0, 0.3. */
export const EXPECTED = {
  vqa: (100 * 1.3) / 3,
  gqa: (100 * 2) / 3,
  /** F1 of random: tp 1, fp 1, fn 1 → 1/2; of the others tp 1, fp 0, fn 1 → 2/3. */
  pope: (100 * (1 / 2 + 2 / 3 + 2 / 3)) / 3,
  /** existence 200, posters 50 + 0; code_reasoning is cognition. */
  mme: 250,
  mmVet: 75,
} as const;

const write = (path: string, text: string | Uint8Array) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

export interface Made {
  /** Folder of tables. */
  tables: string;
  /** LLaVA's folder. */
  folder: string;
}

/** Rotations of a question of MMBench: its options moved on, and the letter with them. */
export function rotations(index: number, { options, answer, ...rest }: (typeof CHOICES)[number]): Record<string, string | number>[] {
  return options.map((_, by) => {
    const turned = options.map((__, i) => options[(i + by) % options.length] as string);
    const letter = 'ABCD'.charAt(turned.indexOf(options[answer] as string));
    const cells = Object.fromEntries(turned.map((option, i) => ['ABCD'.charAt(i), option]));
    return {
      index: index + by * 1e6,
      question: rest.question,
      hint: rest.hint,
      ...cells,
      answer: letter,
      category: rest.category,
      'l2-category': 'all',
      split: 'dev',
    };
  });
}

export const MMBENCH_COLUMNS = [
  'index',
  'question',
  'hint',
  'A',
  'B',
  'C',
  'D',
  'answer',
  'category',
  'image',
  'source',
  'l2-category',
  'comment',
  'split',
];

export async function makeFolders(root: string): Promise<Made> {
  const files = await pictures();
  const base64 = (index: number) => (files[index] as Buffer).toString('base64');
  const tables = join(root, 'tables');
  const folder = join(root, 'eval');
  const table = (name: string, columns: readonly string[], rows: readonly Record<string, string | number>[]) =>
    write(join(tables, `${name}.tsv`), tsv(columns, rows));
  const picture = (path: string, index: number) => write(join(folder, path), files[index] as Buffer);

  // VQA: TextVQA, VizWiz and VQAv2
  const vqaRows = VQA.map(({ picture: of, question, people: answers }, index) => ({
    index,
    image: index === 1 ? '0' : base64(of),
    question,
    answer: pythonList(answers),
  }));
  table('TextVQA_VAL', ['index', 'image', 'question', 'answer'], vqaRows);
  table('VizWiz', ['index', 'image', 'question', 'answer'], vqaRows);
  const oneLine = (question: string) => question.replace('\n', ' ');
  write(
    join(folder, 'textvqa/llava_textvqa_val_v051_ocr.jsonl'),
    jsonl(
      VQA.map(({ picture: of, question }) => ({
        question_id: `p${of}`,
        image: `p${of}.jpg`,
        text: `${oneLine(question)}\nReference OCR token: STOP, 12\n${SHORT}`,
      })),
    ),
  );
  write(
    join(folder, 'textvqa/TextVQA_0.5.1_val.json'),
    JSON.stringify({
      data: [...VQA]
        .reverse()
        .map(({ picture: of, question, people: answers }) => ({ image_id: `p${of}`, question: oneLine(question).toUpperCase(), answers })),
    }),
  );
  write(
    join(folder, 'vizwiz/val.json'),
    JSON.stringify(
      VQA.map(({ question, people: answers }, i) => ({
        image: `VizWiz_val_${i}.jpg`,
        question,
        answers: answers.map((answer) => ({ answer, answer_confidence: 'yes' })),
      })),
    ),
  );
  write(
    join(folder, 'vizwiz/llava_test.jsonl'),
    jsonl(
      VQA.map(({ question }, i) => ({
        question_id: `t${i}`,
        image: `VizWiz_test_${i}.jpg`,
        text: `${question}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n${SHORT}`,
      })),
    ),
  );
  const vqav2 = VQA.map(({ picture: of, question }, i) => ({
    question_id: 100 + i,
    image: `COCO_test2015_${of}.jpg`,
    text: `${question}\n${SHORT}`,
  }));
  write(join(folder, 'vqav2/llava_vqav2_mscoco_test-dev2015.jsonl'), jsonl(vqav2));
  write(
    join(folder, 'vqav2/llava_vqav2_mscoco_test2015.jsonl'),
    jsonl([{ question_id: 99, image: 'COCO_test2015_9.jpg', text: `Else?\n${SHORT}` }, ...vqav2]),
  );
  for (const [i, { picture: of }] of VQA.entries()) {
    picture(`textvqa/train_images/p${of}.jpg`, of);
    picture(`vizwiz/val/VizWiz_val_${i}.jpg`, of);
    picture(`vizwiz/test/VizWiz_test_${i}.jpg`, of);
    picture(`vqav2/test2015/COCO_test2015_${of}.jpg`, of);
  }

  table(
    'GQA_TestDev_Balanced',
    ['index', 'image', 'question', 'answer'],
    GQA.map(({ picture: of, question, answer }, index) => ({ index, image: index === 2 ? '0' : base64(of), question, answer })),
  );
  write(
    join(folder, 'gqa/llava_gqa_testdev_balanced.jsonl'),
    jsonl(GQA.map(({ picture: of, question }, i) => ({ question_id: `20${i}`, image: `n${of}.jpg`, text: `${question}\n${SHORT}` }))),
  );
  write(
    join(folder, 'gqa/data/testdev_balanced_questions.json'),
    JSON.stringify(Object.fromEntries(GQA.map(({ question, answer }, i) => [`20${i}`, { question, answer, imageId: 'n' }]))),
  );
  for (const of of [0, 1]) picture(`gqa/data/images/n${of}.jpg`, of);

  table(
    'POPE',
    ['index', 'image', 'question', 'answer', 'category'],
    POPE.map(({ picture: of, question, answer, splits }, index) => ({
      index,
      image: base64(of),
      question: `${question} Please answer yes or no.`,
      answer,
      category: splits.join(','),
    })),
  );
  const popeLines = ['adversarial', 'popular', 'random'].flatMap((split) =>
    POPE.filter(({ splits }) => splits.includes(split)).map(({ picture: of, question }) => ({
      image: `COCO_val2014_${of}.jpg`,
      text: `${question}\n${SHORT}`,
      category: split,
    })),
  );
  write(join(folder, 'pope/llava_pope_test.jsonl'), jsonl(popeLines.map((line, question_id) => ({ question_id, ...line }))));
  for (const split of ['random', 'popular', 'adversarial']) {
    const of = POPE.filter(({ splits }) => splits.includes(split)).reverse(); // their order is not ours
    write(
      join(folder, `pope/coco/coco_pope_${split}.json`),
      jsonl(
        of.map(({ picture: at, question, answer }, i) => ({ question_id: i + 1, image: `COCO_val2014_${at}.jpg`, text: question, label: answer })),
      ),
    );
  }
  for (const of of [0, 1]) picture(`pope/val2014/COCO_val2014_${of}.jpg`, of);

  table(
    'MME',
    ['index', 'image', 'question', 'answer', 'category'],
    [...MME]
      .sort((a, b) => a.answer.localeCompare(b.answer))
      .map(({ picture: of, task, question, answer }, index) => ({
        index,
        image: base64(of),
        question: `${question} Please answer yes or no.`,
        answer,
        category: task,
      })),
  );
  write(
    join(folder, 'MME/llava_mme.jsonl'),
    jsonl(
      MME.map(({ picture: of, task, question }) => ({
        question_id: `${task}/${of}.jpg`,
        image: task === 'posters' ? `${task}/images/${of}.jpg` : `${task}/${of}.jpg`,
        text: `${question}\n${SHORT}`,
        category: task,
      })),
    ),
  );
  for (const { picture: of, task } of MME) {
    const root = `MME/MME_Benchmark_release_version/${task}`;
    const [at, words] =
      task === 'posters' ? [`${root}/images/${of}.jpg`, `${root}/questions_answers_YN/${of}.txt`] : [`${root}/${of}.jpg`, `${root}/${of}.txt`];
    picture(at, of);
    write(
      join(folder, words),
      MME.filter((item) => item.task === task)
        .map(({ question, answer }) => `${question}  Please answer yes or no.\t${answer}\n`)
        .join(''),
    );
  }
  mkdirSync(join(folder, 'MME/MME_Benchmark_release_version/eval_tool'));

  for (const [name, translated] of [
    ['EN', false],
    ['CN', true],
  ] as const) {
    const rows = CHOICES.flatMap((item, i) =>
      rotations(i + 1, item).map((row, by) => ({ ...row, image: by === 0 ? base64(item.picture) : String(i + 1), source: 's', comment: '' })),
    );
    table(`MMBench_DEV_${name}`, MMBENCH_COLUMNS, [...rows.filter((_, i) => i % 2 === 1), ...rows.filter((_, i) => i % 2 === 0)]); // a reference may come before its picture
    write(join(folder, translated ? 'mmbench_cn/mmbench_dev_cn_20231003.tsv' : 'mmbench/mmbench_dev_20230712.tsv'), tsv(MMBENCH_COLUMNS, rows));
  }

  const cells = (options: readonly string[]) => Object.fromEntries(options.map((option, i) => ['ABCDE'.charAt(i), option]));
  table(
    'SEEDBench_IMG',
    ['index', 'image', 'question', 'A', 'B', 'C', 'D', 'answer', 'category'],
    CHOICES.map(({ picture: of, question, options, answer, category }, i) => ({
      index: i,
      image: base64(of),
      question,
      ...cells(options),
      answer: 'ABCD'.charAt(answer),
      category,
    })),
  );
  const seedText = ({ question, options }: (typeof CHOICES)[number]) =>
    [question, ...options.map((option, i) => `${'ABCD'.charAt(i)}. ${option}`), LETTER].join('\n');
  write(
    join(folder, 'seed_bench/llava-seed-bench.jsonl'),
    jsonl([
      ...CHOICES.map((item, i) => ({ question_id: String(i), image: `SEED-Bench-image/${item.picture}`, text: seedText(item), category: 'image' })),
      { question_id: 'v7', image: 'SEED-Bench-image/0', text: seedText(CHOICES[0] as (typeof CHOICES)[number]), category: 'video' },
    ]),
  );
  const types = { Spatial: 1, Kind: 2, Action: 3 };
  write(
    join(folder, 'seed_bench/SEED-Bench.json'),
    JSON.stringify({
      question_type: types,
      questions: [
        { question_id: 'v7', data_type: 'video', question_type_id: 3, answer: 'A' },
        ...CHOICES.map(({ category, answer }, i) => ({
          question_id: String(i),
          data_type: 'image',
          question_type_id: types[category as keyof typeof types],
          answer: 'ABCD'.charAt(answer),
        })),
      ],
    }),
  );
  for (const of of [0, 1, 2]) picture(`seed_bench/SEED-Bench-image/${of}`, of);

  table(
    'ScienceQA_TEST',
    ['index', 'image', 'hint', 'question', 'A', 'B', 'C', 'D', 'E', 'answer'],
    CHOICES.map(({ picture: of, question, hint, science, answer }, i) => ({
      index: i,
      image: base64(of),
      hint,
      question,
      ...cells(science),
      answer: 'ABCDE'.charAt(answer),
    })),
  );
  const human = ({ hint, question, science }: (typeof CHOICES)[number]) =>
    [...(hint === '' ? [] : [`Context: ${hint}`]), question, ...science.map((option, i) => `${'ABCDE'.charAt(i)}. ${option}`)].join('\n');
  write(
    join(folder, 'scienceqa/llava_test_CQM-A.json'),
    JSON.stringify([
      ...CHOICES.map((item, i) => ({
        id: String(i),
        image: 'image.png',
        conversations: [
          { from: 'human', value: `<image>\n${human(item)}` },
          { from: 'gpt', value: 'A' },
        ],
      })),
      { id: '77', conversations: [{ from: 'human', value: 'Text only?\nA. yes\nB. no' }] },
    ]),
  );
  const problems = [
    ...CHOICES.map(({ question, science, answer }, i) => [String(i), { question, choices: science, answer }]),
    ['77', { question: 'Text only?', choices: ['yes', 'no'], answer: 0 }],
  ];
  write(join(folder, 'scienceqa/problems.json'), JSON.stringify(Object.fromEntries(problems)));
  write(join(folder, 'scienceqa/pid_splits.json'), JSON.stringify({ train: [], test: ['77', '0', '1', '2'] }));
  for (const [i, { picture: of }] of CHOICES.entries()) picture(`scienceqa/images/test/${i}/image.png`, of);

  table(
    'MMVet',
    ['index', 'image', 'question', 'answer', 'category'],
    MMVET.map(({ picture: of, question, answer, capability }, i) => ({
      index: i,
      image: base64(of),
      question,
      answer,
      category: capability.join(','),
    })),
  );
  write(
    join(folder, 'mm-vet/llava-mm-vet.jsonl'),
    jsonl(MMVET.map(({ picture: of, question }, i) => ({ question_id: i, image: `v1_${of}.jpg`, text: question, category: 'default' }))),
  );
  write(
    join(folder, 'mm-vet/mm-vet.json'),
    JSON.stringify(
      Object.fromEntries(MMVET.map(({ question, answer, capability }, i) => [`v1_${i}`, { imagename: `v1_${i}.jpg`, question, answer, capability }])),
    ),
  );
  for (const of of [0, 1]) picture(`mm-vet/images/v1_${of}.jpg`, of);
  return { tables, folder };
}
