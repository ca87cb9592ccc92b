import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import { type KitchenFrame, renderScene } from '../camera/kitchen.js';
import { MiphaError } from '../errors.js';
import { Mipha } from '../index.js';
import { startBroker } from '../mqtt/broker.js';
import { connect } from '../mqtt/client.js';
import { type Result, resultOf, stateOf } from '../mqtt/messages.js';
import { topicsOf } from '../mqtt/topics.js';
import { DemoScreen } from './demo-screen.js';
import { kitchenScenes, WATCHES } from './demo-watches.js';
import { EXIT_FAILURE, interruption } from './failure.js';
import { SHIPPED_MODEL, wholeNumber } from './options.js';

const NODE = 'demo';
const ENOUGH = 0.95; // share of right answers below which a counted demo fails
const FRAME_MS = 1000; // pace without --frames
const DELIVERY_MS = 5000; // longest wait for a message to come back from the broker

interface DemoCommand {
  frames?: number;
  seed: number;
  broker?: string;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('A synthetic kitchen camera, six typed questions per frame, the answers over MQTT.')
    .option('--frames <n>', 'stop after so many frames', wholeNumber(1, 1_000_000))
    .option('--seed <n>', 'the first scene', wholeNumber(1, 999_999), 1)
    .option('--broker <url>', 'publish to this broker, mqtt://host:port (default: one inside this process, on loopback)')
    .addHelpText(
      'after',
      `
Without --frames it draws a frame a second until Ctrl-C. With --frames it goes as fast as it can, prints a summary and ends with exit code 1 when
fewer than ${ENOUGH * 100} % of the answers were right. Scenes below seed 1000000 were never used in training.`,
    )
    .action(demo);
}

async function demo(options: DemoCommand): Promise<void> {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const session = randomUUID();
  const topics = topicsOf('mipha', NODE);
  const colors = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  const ids = WATCHES.map(({ id }) => id);
  const screen = new DemoScreen(topics, session, ids, print, colors);
  const { signal, release } = interruption();
  try {
    await using broker = options.broker === undefined ? await startBroker() : null;
    const url = options.broker ?? broker?.url ?? '';
    await using subscriber = await connect(url);
    await subscriber.subscribe(topics.all, (...message) => screen.receive(...message));
    await using publisher = await connect(url, { availability: topics.availability });
    await publisher.publish(topics.availability, 'online');
    await using mipha = await Mipha.load(SHIPPED_MODEL, { signal });
    const model = { id: mipha.name, rev: mipha.revision };

    introduce(url, topics.all, options.frames === undefined, print);
    screen.header();
    let seq = 0;
    try {
      for (const { seed, scene } of kitchenScenes(options.seed)) {
        if (seq === options.frames) break;
        const next = pause(options.frames === undefined ? FRAME_MS : 0, undefined, { signal });
        next.catch(() => {}); // awaited below, unless something else fails first
        const frameId = `${seed}`;
        const at = new Date();
        const results = await answerFrame(mipha, await renderScene(scene), { session, seq, frameId, at, model }, signal);
        const shown = screen.expect(frameId, new Map(WATCHES.map((watch) => [watch.id, watch.truth(scene)])));
        for (const result of results) {
          await publisher.publish(topics.result(result.watch), JSON.stringify(result));
          await publisher.publish(topics.state(result.watch), stateOf(result.value));
        }
        await delivered(shown);
        await next;
        seq++;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    await publisher.publish(topics.availability, 'offline');
    if (options.frames !== undefined) signal.throwIfAborted();
    conclude(screen, seq, options.frames !== undefined, print);
  } finally {
    release();
  }
}

/** Looks at one frame and asks all watches at once. */
async function answerFrame(
  mipha: Mipha,
  frame: KitchenFrame,
  { session, seq, frameId, at, model }: { session: string; seq: number; frameId: string; at: Date; model: Result['model'] },
  signal: AbortSignal,
): Promise<Result[]> {
  await using view = await mipha.look(frame, { signal });
  const answers = await view.askAll(
    WATCHES.map(({ question, as }) => ({ question, as })),
    { signal },
  );
  return WATCHES.map(({ id, type }, i) => {
    const { value, text, confidence, timings, tokens } = answers[i] as (typeof answers)[number];
    return resultOf({
      seq,
      session,
      node: NODE,
      camera: 'kitchen',
      watch: id,
      value,
      type,
      answer: text,
      confidence,
      frame: { id: frameId, at, width: frame.width, height: frame.height },
      model,
      timing: {
        queue_ms: timings.queueMs,
        prep_ms: timings.preprocessMs,
        vision_ms: timings.visionMs,
        prefill_ms: timings.prefillMs,
        decode_ms: timings.decodeMs,
        total_ms: timings.totalMs,
      },
      tokens: { in: tokens.prompt, out: tokens.answer },
    });
  });
}

async function delivered(shown: Promise<void>): Promise<void> {
  const timeout = new AbortController();
  const late = pause(DELIVERY_MS, undefined, { signal: timeout.signal }).then(() => {
    throw new MiphaError('ERR_MQTT', `The answers did not come back from the broker within ${DELIVERY_MS / 1000} s`);
  });
  try {
    await Promise.race([shown, late]);
  } finally {
    late.catch(() => {});
    timeout.abort();
  }
}

function introduce(url: string, filter: string, endless: boolean, print: (line: string) => void): void {
  const { hostname, port } = new URL(url);
  print('mipha-nano is watching a synthetic kitchen. To follow along in another terminal:\n');
  print(`  mosquitto_sub -h ${hostname} -p ${port || 1883} -t '${filter}' -v\n`);
  for (const { id, question } of WATCHES) print(`  ${id.padEnd(9)}${question}`);
  print(`\nAnswers as a subscriber receives them: ✓ as drawn, ✗ followed by what was drawn.${endless ? ' Ctrl-C ends it.' : ''}\n`);
}

function conclude({ right, total }: DemoScreen, frames: number, counted: boolean, print: (line: string) => void): void {
  if (total === 0) return;
  const share = right / total;
  print(`\n${frames} frames, ${right} of ${total} answers right (${(share * 100).toFixed(1)} %).`);
  if (!counted || share >= ENOUGH) return;
  print(`That is below ${ENOUGH * 100} %.`);
  process.exitCode = EXIT_FAILURE;
}
