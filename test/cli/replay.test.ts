/** `mipha replay` as a user runs it: on a record, and on pictures of a camera that is not there yet. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kitchenStory } from '../../src/camera/animation.js';
import { renderScene, type Scene } from '../../src/camera/kitchen.js';
import { answerSpecOf, changesOf } from '../../src/cli/replay-changes.js';
import { Mipha } from '../../src/index.js';
import type { ReplayReport } from '../../src/replay/report.js';
import { recordKitchen } from '../replay/kitchen-day.js';
import { NANO } from '../support/nano.js';
import { describeWith } from '../support/programs.js';
import { spec } from '../watch/stage.js';
import { MAIN, type Outcome, mipha as run } from './run.js';

vi.setConfig({ testTimeout: 300_000 }); // it runs at a low priority, and other tests beside it do not

let folder: string;
let events: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-replay-cli-'));
  await using mipha = await Mipha.load(NANO);
  ({ events } = await recordKitchen(join(folder, 'record'), mipha, 8));
  mkdirSync(join(folder, 'stills'));
  const story = kitchenStory(3, 'any');
  for (let i = 0; i < 8; i++) {
    const { data, width, height } = await renderScene(story.next().value);
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 95 })
      .toFile(join(folder, 'stills', `${String(i).padStart(3, '0')}.jpg`));
  }
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const replay = (...args: string[]): Promise<Outcome> => run(['replay', ...args], { cwd: folder });

it('with the settings on record asks nothing and finds the same events', async () => {
  const { code, stdout } = await replay('lamp', '--record', 'record', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    ...{ watch: 'lamp', computed: 0, flipped: 0, onlyBefore: [], onlyNow: [] },
    events: { before: events.length, now: events.length },
    suppressed: { before: { unconfirmed: 0 }, now: { unconfirmed: 0 } },
  });
});

it('with another question shows what flips, and an interrupted run goes on from the answers it had', async () => {
  const args = ['lamp', '--record', 'record', '--question', 'Is the door open?', '--out', 'try'];
  const { code, stdout, stderr } = await replay(...args);
  expect(stderr).toMatch(/lamp {2}\d+ %/);
  expect([code, /answers +(\d+) compared, (\d+) flip; (\d+) computed now/.exec(stdout)?.slice(1).map(Number)]).toEqual([
    0,
    [expect.any(Number), expect.any(Number), expect.any(Number)],
  ]);
  const report = JSON.parse(readFileSync(join(folder, 'try/report.json'), 'utf8'));
  expect(report).toMatchObject({ settings: ['question=Is the door open?'], labels: null });
  expect(report.flipped).toBeGreaterThan(0);
  const html = readFileSync(join(folder, 'try/report.html'), 'utf8');
  for (const { picture } of report.flips) {
    expect(existsSync(join(folder, 'try', picture))).toBe(true);
    expect(html).toContain(`src="${picture}"`);
  }
  expect(readdirSync(join(folder, 'try/pictures'))).toHaveLength(report.flips.length);
  const answers = readFileSync(join(folder, 'try/answers.ndjson'), 'utf8');
  writeFileSync(join(folder, 'try/answers.ndjson'), answers.slice(0, -10)); // as power loss would leave it
  const { stdout: again } = await replay(...args, '--json');
  expect(JSON.parse(again)).toMatchObject({ flipped: report.flipped, computed: report.computed });
  expect(readFileSync(join(folder, 'try/answers.ndjson'), 'utf8').split('\n').length).toBe(answers.split('\n').length + 1);
});

it('yields to a node beside it, with every thread', async () => {
  const child = spawn(process.execPath, [MAIN, 'replay', 'door', '--on', 'stills', '--fps', '1', '--question', 'Is the door open?', '--json'], {
    cwd: folder,
  });
  const least = new Map<string, number>(); // of a thread its nice value when it was last seen
  const looking = setInterval(() => {
    try {
      for (const thread of readdirSync(`/proc/${child.pid}/task`)) {
        const stat = readFileSync(`/proc/${child.pid}/task/${thread}/stat`, 'utf8');
        least.set(thread, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]));
      }
    } catch {} // one has ended
  }, 5);
  await once(child, 'close');
  clearInterval(looking);
  expect(least.size).toBeGreaterThan(5);
  expect([...new Set(least.values())]).toEqual([10]);
});

it('asks about a folder of pictures', async () => {
  const { code, stdout } = await replay('door', '--on', 'stills', '--fps', '1', '--question', 'Is the door open?', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ frames: 8, compared: 0, questions: { before: 0 } });
});

describeWith(['gstreamer'], 'a film', () => {
  const FPS = 4;
  /** Whether the door is open, second by second. */
  const DOORS = { 'monday.mp4': '00110011', 'tuesday.mp4': '01100010' };
  type Name = keyof typeof DOORS;

  /** A scene a second. */
  async function film(name: Name): Promise<void> {
    const story = kitchenStory(3, 'any');
    for (const [i, door] of [...DOORS[name]].entries()) {
      let scene: Scene;
      do scene = story.next().value as Scene;
      while (scene.doorOpen !== (door === '1'));
      const { data, width, height } = await renderScene(scene);
      const file = join(folder, `${name}-${i}.png`);
      await sharp(data, { raw: { width, height, channels: 3 } })
        .resize(512)
        .png()
        .toFile(file);
    }
    const pictures = ['multifilesrc', `location=${join(folder, name)}-%d.png`, 'caps=image/png,framerate=1/1', '!', 'pngdec', '!', 'videoconvert'];
    const encoder = ['x264enc', 'quantizer=10', 'pass=quant', '!', 'mp4mux', '!', 'filesink', `location=${join(folder, name)}`];
    execFileSync('gst-launch-1.0', ['-q', ...pictures, '!', ...encoder]);
  }

  beforeAll(async () => {
    await film('monday.mp4');
    await film('tuesday.mp4');
  });

  const on = async (name: Name, ...more: string[]): Promise<ReplayReport> => {
    const args = ['door', '--on', name, '--fps', String(FPS), '--question', 'Is the door open?', '--json', ...more];
    const { code, stdout, stderr } = await replay(...args);
    expect([code, stderr.replace(/^.*%.*$/gm, '').trim()]).toEqual([0, '']);
    return JSON.parse(stdout);
  };
  /** What is told: which second of the film, and what the door is then. */
  const told = ({ onlyNow }: ReplayReport) => onlyNow.map(({ frame, value }) => [Math.round((frameNumber(frame) - 1) / FPS), value]);
  const changes = (name: Name) => {
    const doors = [...DOORS[name]];
    return doors.flatMap((door, second) => (second > 0 && door !== doors[second - 1] ? [[second, door === '1']] : []));
  };

  it('tells of every change that it shows, about a picture of that second', async () => {
    const report = await on('monday.mp4', '--set', 'interval_ms=0', '--set', 'reask_ms=1000');
    expect(told(report)).toEqual(changes('monday.mp4'));
    expect(report).toMatchObject({ lives: 1, events: { before: 0 }, questions: { before: 0 }, compared: 0 });
    expect(report.frames).toBeGreaterThanOrEqual(7 * FPS);
    expect(report.computed).toBeGreaterThan(changes('monday.mp4').length);
  });

  it('keeps its answers apart from those of another in the same folder', async () => {
    const settings = ['--set', 'interval_ms=0', '--set', 'reask_ms=1000', '--out', 'films'];
    const answers = () => readFileSync(join(folder, 'films/answers.ndjson'), 'utf8').trim().split('\n').length;
    await on('monday.mp4', ...settings);
    const first = answers();
    const tuesday = await on('tuesday.mp4', ...settings);
    expect(told(tuesday)).toEqual(changes('tuesday.mp4'));
    const both = answers();
    expect(both).toBeGreaterThan(first);
    expect(told(await on('monday.mp4', ...settings))).toEqual(changes('monday.mp4'));
    expect(answers()).toBe(both); // what it was asked before it is not asked again
  });
});

function frameNumber(id: string | null): number {
  return Number(/-(\d+)$/.exec(id ?? '')?.[1]);
}

it.each([
  [['lamp'], /--record or --on, one of them/],
  [['lamp', '--record', 'record', '--on', 'stills'], /one of them/],
  [['none', '--record', 'record'], /expected a watch with something recorded in .*record in this time, received "none"/],
  [['lamp', '--record', 'record', '--agreement', '2of3'], /expected N\/M, e.g. 2\/3/],
  [['lamp', '--record', 'record', '--agreement', '3/2'], /n at most of/],
  [['lamp', '--record', 'record', '--set', 'intervall_ms=5'], /intervall_ms/],
  [['lamp', '--record', 'record', '--since', 'yesterday'], /Expected an age such as 7d/],
  [['lamp', '--on', 'stills'], /expected a question, as --on has no watch on record/],
  [['lamp', '--on', 'nowhere', '--question', 'x'], /nowhere: expected a film or a folder of pictures/],
  [['lamp', '--on', 'stills', '--question', 'x', '--set', 'compare.event=door'], /watch.compare.event.*lamp itself, as a film has no other watch/],
])('refuses %j in words', async (args, words) => {
  const { code, stderr, stdout } = await replay(...args);
  expect([code !== 0, stdout]).toEqual([true, '']);
  expect(stderr).toMatch(words);
  expect(stderr).not.toMatch(/\n {4}at /);
});

describe('settings', () => {
  it('are those of a watch, nested ones too', () => {
    const { apply, words } = changesOf({
      ...{ question: 'Why?', as: 'int:0..9', minConfidence: 0.5, agreement: '2/3', zone: '[[[0,0],[1,0],[1,1]]]' },
      set: [
        ['events.for_ms', '500'],
        ['interval_ms', '250'],
      ],
    });
    const before = spec({});
    expect(apply(before)).toEqual({
      ...before,
      ...{ question: 'Why?', answer: { type: 'number', min: 0, max: 9, decimals: 0 }, min_confidence: 0.5, agreement: { n: 2, of: 3 } },
      ...{
        zone: [
          [
            [0, 0],
            [1, 0],
            [1, 1],
          ],
        ],
        interval_ms: 250,
        events: { ...before.events, for_ms: 500 },
      },
    });
    expect(words).toContain('events.for_ms=500');
  });

  it.each([
    ['boolean', { type: 'boolean' }],
    ['number:0..1', { type: 'number', min: 0, max: 1, decimals: 2 }],
    ['choice:red, green', { type: 'choice', choices: ['red', 'green'] }],
    ['text:80', { type: 'text', max_chars: 80 }],
  ])('--as %s', (text, wanted) => {
    expect(answerSpecOf(text)).toEqual(wanted);
  });
});
