/** `mipha eval` as a user runs it, with nano as every benchmark's model. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Comparison } from '../../src/eval/compare.js';
import type { EvalReport } from '../../src/eval/report.js';
import { type Made, makeFolders } from '../eval/folders.js';
import { counts } from '../support/counts.js';
import { evalFigures, evalScenes } from '../support/nano.js';
import { Random } from '../support/random.js';
import { mipha as inProcess } from './in-process.js';
import { type Outcome, mipha as run } from './run.js';

vi.setConfig({ testTimeout: 300_000 });

let folder: string;
let made: Made;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-eval-cli-'));
  made = await makeFolders(join(folder, 'data'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const evaluate = (...args: string[]): Promise<Outcome> => run(['eval', ...args], { cwd: folder });
const reportOf = ({ code, stdout, stderr }: Outcome): EvalReport => {
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as EvalReport;
};
const fileOf = (out: string, name: string) => readFileSync(join(folder, out, name), 'utf8');

describe('kitchen', () => {
  it('is the held-out scenes, and says what it measured', async () => {
    const outcome = await evaluate('kitchen', '--limit', '24', '--out', 'kitchen');
    expect(outcome.code, outcome.stderr).toBe(0);
    const right = evalScenes()
      .slice(0, 3)
      .flatMap(({ qa }, scene) => qa.map(([, answer], i) => evalFigures().answers[scene]?.[i] === answer));
    const share = ((100 * right.filter(Boolean).length) / 24).toFixed(2);
    expect(outcome.stdout).toMatch(/^mipha-nano [0-9a-f]{12} on cpu; matrices .*w8a8 \(36\).*; pictures of 112 px\n/);
    expect(outcome.stdout).toContain(`whole answers right  ${share} %`);
    expect(outcome.stdout).toContain('24 of first 24 of 4096, 0 unparsable');
    for (const name of ['report.md', 'report.html']) expect(fileOf('kitchen', name)).toContain(`${share} %`);
    expect(fileOf('kitchen', 'report.html')).not.toMatch(/<script|https?:/);
  });

  it('with typed answers tells their calibration', async () => {
    const { benchmarks } = reportOf(await evaluate('kitchen', '--limit', '16', '--mode', 'constrained', '--json'));
    expect(benchmarks).toMatchObject([
      { mode: 'constrained', items: 16, of: 1912, score: { scored: 16, unparsable: 0, calibration: { error: expect.any(Number) } } },
    ]);
    expect(benchmarks[0]?.score.value).toBeGreaterThan(80);
  });
});

describe('every benchmark', () => {
  it('of either layout has a number, and the same one', async () => {
    const [tables, llava] = [
      await evaluate('--data', 'data/tables', '--out', 'tables', '--json'),
      await evaluate('--data', 'data/eval', '--out', 'llava', '--json'),
    ];
    const [first, second] = [reportOf(tables), reportOf(llava)];
    expect(first.benchmarks.map(({ benchmark }) => benchmark)).toHaveLength(10);
    expect(second.benchmarks.map(({ benchmark }) => benchmark)).toHaveLength(12);
    for (const { benchmark, score } of first.benchmarks.filter((each) => each.benchmark !== 'textvqa')) {
      const other = second.benchmarks.find((each) => each.benchmark === benchmark);
      expect(other?.score, benchmark).toMatchObject({ value: score.value, metric: score.metric });
      expect(score.value).not.toBeNull();
    }
    expect(second.benchmarks.filter(({ score }) => score.value === null).map(({ benchmark, upload }) => [benchmark, upload])).toEqual([
      ['vqav2', 'vqav2-upload.json'],
      ['vizwiz', 'vizwiz-upload.json'],
    ]);
    for (const { upload } of second.benchmarks) if (upload !== null) expect(existsSync(join(folder, 'llava', upload))).toBe(true);
    expect(second.benchmarks.find(({ benchmark }) => benchmark === 'mm-vet')).toMatchObject({ aspect: 'squash', items: 2 });
  });

  it('that was answered is not asked again, and others stay in the report', async () => {
    const before = fileOf('llava', 'report.json');
    const again = await evaluate('gqa', 'pope', '--data', 'data/eval', '--out', 'llava');
    expect(again.code).toBe(0);
    const [old, now] = [JSON.parse(before), JSON.parse(fileOf('llava', 'report.json'))] as [EvalReport, EvalReport];
    const byName = ({ benchmarks }: EvalReport) => [...benchmarks].sort((a, b) => a.benchmark.localeCompare(b.benchmark));
    expect(byName(now)).toEqual(byName(old));
    expect(again.stdout).not.toContain('MMBench');
  });

  it('stands beside what was published only where it may', async () => {
    const { stdout } = await evaluate('gqa', '--data', 'data/eval', '--out', 'llava');
    expect(stdout).not.toContain('Mipha-3B');
    expect(stdout).toContain('gqa, paper: 3 questions, of 12578 that were published');
    const part = await evaluate('gqa', '--data', 'data/eval', '--limit', '1');
    expect(part.stdout).not.toContain('Mipha-3B');
    expect(part.stdout).toContain('gqa, paper: a part of the data is compared with nothing published');
  });
});

describe('MM-Vet by a judge', () => {
  let server: Server;
  let grade = '';
  const judged = (...args: string[]) => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    return evaluate('mm-vet', '--data', 'data/tables', '--judge', url, '--judge-model', 'j', ...args);
  };
  beforeAll(async () => {
    server = createServer((request, response) => {
      request.resume().on('end', () => response.end(JSON.stringify({ choices: [{ message: { content: grade } }] })));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  });
  afterAll(() => server.close());

  it('who is named grades, and the report says so', async () => {
    grade = '0.4';
    const { benchmarks } = reportOf(await judged('--json'));
    expect(benchmarks[0]?.score).toMatchObject({ value: 40, metric: "a judge's grades, in words of our own: not the published number (j)" });
  });

  it('is compared by the grades where the same judge gave both, and says what is compared', async () => {
    for (const [out, given] of Object.entries({ 'judged-a': '0.4', 'judged-b': '0.6' })) {
      grade = given;
      expect((await judged('--out', out)).code).toBe(0);
    }
    const compared = async (...folders: string[]) =>
      JSON.parse((await evaluate('--compare', ...folders, '--json')).stdout).comparisons[0] as Comparison;
    const test = { onlyA: 0, onlyB: 2 };
    expect(await compared('judged-a', 'judged-b')).toMatchObject({ benchmark: 'mm-vet', a: 40, b: 60, flipped: 2, different: 0, test });
    const { stdout } = await evaluate('--compare', 'judged-a', 'judged-b');
    expect(stdout).toContain("mm-vet, paper: a judge's grades, in words of our own: not the published number (j)");

    expect((await evaluate('mm-vet', '--data', 'data/tables', '--out', 'not-judged')).code).toBe(0);
    expect(await compared('judged-a', 'not-judged')).toMatchObject({
      flipped: 0,
      metric: expect.stringMatching(/^containment .*; not the grades, of j in A and no judge in B$/),
    });

    const [file = ''] = readdirSync(join(folder, 'judged-b')).filter((name) => name.startsWith('mm-vet-judge-'));
    writeFileSync(join(folder, 'judged-b', file), fileOf('judged-b', file).split('\n').slice(0, 2).join('\n').concat('\n'));
    const { code, stderr } = await evaluate('--compare', 'judged-a', 'judged-b');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/expected a grade of each of the 2 answers, received "fewer in judged-b\/mm-vet-judge-/),
    ]);
  });
});

describe('what is wrong', () => {
  it.each([
    [[], 'Option benchmarks: expected at least one name, or --data, received "none"'],
    [['gqa'], 'Option --data: expected the folder with gqa, received "none"'],
    [['vqav2', '--data', 'data/tables'], /vqav2\/llava_vqav2_mscoco_test-dev2015\.jsonl in it; VQAv2 test-dev \(CC BY 4\.0; .*\) comes from/],
    [['gqa', '--data', 'data/eval', '--mode', 'constrained'], 'Option mode: expected paper, as gqa asks for free words, received "constrained"'],
    [['gqa', '--data', 'none'], 'expected a folder or a table that is there'],
    [['--data', '.'], 'Option benchmarks: expected data of a benchmark in --data'],
    [['--compare', 'kitchen'], 'Option --compare: expected two folders and nothing else, received'],
    [['--compare', 'kitchen', 'data'], 'Option --compare: expected two folders that mipha eval --out has written, received'],
    [['--compare', 'kitchen', 'tables'], 'Option --compare: expected a benchmark that both have in the same mode'],
    [['mm-vet', '--data', 'data/tables', '--judge', 'x'], 'Option --judge: expected the address of an API, received "x"'],
    [['mm-vet', '--data', 'data/tables', '--judge', 'http://x'], 'Option --judge-model: expected the name of a model at --judge'],
    [['dance'], "command-argument value 'dance' is invalid"],
  ])('is said of %j', async (args, message) => {
    const paths = args.map((arg) => (existsSync(join(folder, arg)) ? join(folder, arg) : arg));
    const { code, stdout, stderr } = await inProcess('eval', ...paths);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  it("with a folder of another package's scores is said before anything is asked", async () => {
    mkdirSync(join(folder, 'taken'));
    const other = { package: { name: 'else', revision: 'abc' }, backend: 'cuda', benchmarks: [] };
    writeFileSync(join(folder, 'taken/report.json'), JSON.stringify(other));
    const { code, stderr } = await evaluate('kitchen', '--limit', '1', '--out', 'taken');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/Option out: expected a new folder, or one of mipha-nano .* on cpu, received "taken, with scores of else abc on cuda"/),
    ]);
  });

  it('with a picture stops the run, and is named', async () => {
    cpSync(join(made.folder, 'gqa'), join(folder, 'broken', 'gqa'), { recursive: true });
    writeFileSync(join(folder, 'broken/gqa/data/images/n1.jpg'), 'no picture');
    const { code, stderr, stdout } = await evaluate('gqa', '--data', 'broken', '--out', 'stopped');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('ERR_IMAGE');
    expect(stderr).toContain('n1.jpg');
    expect(existsSync(join(folder, 'stopped/report.json'))).toBe(false);
  });
});

describe('two of them', () => {
  it('are compared item by item, with pictures', async () => {
    cpSync(join(folder, 'kitchen'), join(folder, 'other'), { recursive: true });
    const name = readdirSync(join(folder, 'other')).find((file) => file.startsWith('kitchen-paper')) as string;
    const lines = fileOf('other', name).trimEnd().split('\n');
    for (const at of [1, 2, 3]) lines[at] = JSON.stringify({ ...JSON.parse(lines[at] as string), text: 'something else' });
    writeFileSync(join(folder, 'other', name), `${lines.join('\n')}\n`);
    const { code, stdout, stderr } = await evaluate('--compare', 'kitchen', 'other', '--out', 'flips');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/kitchen +paper +[\d.]+ +[\d.]+ +24 +3 +3 +3 +0 +0\.250/);
    const html = fileOf('flips', 'compare.html');
    expect(html).not.toMatch(/<script|https?:/);
    expect([...html.matchAll(/<img src="([^"]+)"/g)].map(([, path = '']) => existsSync(join(folder, 'flips', path)))).toEqual([true, true, true]);
    expect(html).toContain('B: something else (0)');
    expect(JSON.parse(fileOf('flips', 'compare.json')).comparisons[0]).toMatchObject({
      flipped: 3,
      test: { onlyA: 3, onlyB: 0, p: expect.closeTo(0.25, 9) },
    });
  });

  it('of which one has fewer answers are not', async () => {
    const name = readdirSync(join(folder, 'other')).find((file) => file.startsWith('kitchen-paper')) as string;
    writeFileSync(join(folder, 'other', name), `${fileOf('other', name).trimEnd().split('\n').slice(0, -2).join('\n')}\n`);
    const { code, stderr } = await evaluate('--compare', 'kitchen', 'other');
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('expected answers to the 24 questions of kitchen that are in the kitchen now, received "22 in other"'),
    ]);
  });
});

/** Without what differs from run to run. */
const numbers = (report: EvalReport) => JSON.stringify({ ...report, benchmarks: report.benchmarks.map((each) => ({ ...each, secondsPerItem: 0 })) });

it('a run that is killed again and again ends with the same numbers', async () => {
  const whole = reportOf(await evaluate('kitchen', 'pope', 'mme', '--limit', '40', '--data', 'data/tables', '--out', 'whole', '--json'));
  const rand = new Random(7);
  const kills = counts(3, 30);
  for (let kill = 0; kill < kills; kill++) {
    let at: Promise<unknown> | undefined;
    const delay = rand.below(900);
    await run(['eval', 'kitchen', 'pope', 'mme', '--limit', '40', '--data', 'data/tables', '--out', 'killed'], {
      cwd: folder,
      onOutput: (output, child) => {
        if (output.includes('kitchen 0 %') || /pope|mme/.test(output)) at ??= pause(delay).then(() => child.kill('SIGKILL'));
      },
    });
    await at;
    if (kill % 7 === 6) rmSync(join(folder, 'killed'), { recursive: true, force: true });
  }
  expect(numbers(reportOf(await evaluate('kitchen', 'pope', 'mme', '--limit', '40', '--data', 'data/tables', '--out', 'killed', '--json')))).toBe(
    numbers(whole),
  );
}, 1_800_000);
