/** mipha-nano before the synthetic kitchen, on a clock of its own, recorded to a disk. */
import { kitchenStory } from '../../src/camera/animation.js';
import type { Frame } from '../../src/camera/frame.js';
import { jpegOf } from '../../src/camera/jpeg.js';
import { renderScene, type Scene } from '../../src/camera/kitchen.js';
import type { Mipha } from '../../src/index.js';
import { frameItem, lineItem, startItem } from '../../src/record/items.js';
import { Recorder } from '../../src/record/recorder.js';
import { Film } from '../../src/replay/film.js';
import { RecordedEyes } from '../../src/replay/recorded-eyes.js';
import { VirtualClock } from '../../src/replay/virtual-clock.js';
import { RecordIntake } from '../../src/service/recording/intake.js';
import { Recording } from '../../src/service/recording/recording.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchSpec } from '../../src/watch/spec.js';
import { spec } from '../watch/stage.js';

const FRAMES_PER_SCENE = 4;
const WATCH = spec({ question: 'Is the lamp on?', interval_ms: 100, reask_ms: 1000, ttl_ms: 5000 });

export interface KitchenDay {
  /** By frame. */
  scenes: Map<string, Scene>;
  /** Type and frame of each. */
  events: string[];
}

/** Of the watch `lamp`. */
export async function recordKitchen(folder: string, mipha: Mipha, sceneCount: number, more: Partial<WatchSpec> = {}): Promise<KitchenDay> {
  const scenes = new Map<string, Scene>();
  const events: string[] = [];
  const clock = new VirtualClock(1000);
  clock.setDate(new Date('2026-03-01T12:00:00Z'), 1000);
  const nothing = { recorded: async () => null, kept: () => null, keep: () => {}, usualMs: () => 30 };
  const eyes = new RecordedEyes(clock, nothing, async () => mipha);
  const recorder = await Recorder.open({ folder, session: 's', limits: { bytes: 1e9, days: 100 }, clock });
  const intake = new RecordIntake({
    hand: (watch, item) => recorder.hand(watch, item),
    encode: async (pixels) => (await jpegOf(pixels, { maxSidePx: 4096, quality: 90 })).data,
    withdrawn: () => 0,
  });
  let pictures = 1;
  const recording = new Recording({
    to: {
      start: (watch, start) => intake.hand(watch, startItem('s', watch, start, { at: clock.date().toISOString(), mono_ms: clock.now() }), null),
      line: (watch, line) => intake.hand(watch, lineItem(line), null),
      frame: (watch, line, picture) => intake.hand(watch, frameItem(line, null), picture),
      picture: (camera, frame) => {
        const name = { camera, number: pictures++ };
        void intake.picture(name, frame);
        return name;
      },
      withdraw: () => {},
      stop: () => {},
    },
    model: { name: mipha.name, hash: mipha.revision },
    timezone: 'UTC',
    date: () => clock.date(),
  });
  const loop = new WatchLoop(eyes, {
    clock,
    onDecision: (decision) => recording.decided(decision),
    onOutcome: (outcome) => recording.answered(outcome),
    onEvent: (event) => {
      recording.told(event);
      events.push(`${event.type} ${event.outcome.frame?.id}`);
    },
    onSuppressed: (news) => recording.suppressed(news),
    onOpinion: (opinion) => recording.opined(opinion),
    onFault: (error) => {
      throw error;
    },
  });
  const camera = new Film('kitchen');
  loop.addCamera(camera);
  loop.put('lamp', { ...WATCH, ...more });
  loop.start();
  const story = kitchenStory(7, 'any');
  for (let scene = 0; scene < sceneCount; scene++) {
    const shown = story.next().value;
    const picture = await renderScene(shown);
    for (let i = 0; i < FRAMES_PER_SCENE; i++) {
      const untilMs = clock.now() + 90;
      do await eyes.settled();
      while (clock.step(untilMs));
      const frame: Frame = {
        ...{ id: `kitchen-${scene}-${i}`, monotonicMs: clock.now(), at: clock.date(), format: 'rgb', content: scene * FRAMES_PER_SCENE + i },
        ...picture,
      };
      scenes.set(frame.id, shown);
      camera.show(frame);
      await eyes.settled();
    }
  }
  for (let i = 0; i < 10; i++) {
    await eyes.settled();
    clock.step(clock.now() + 10);
  }
  await intake.end();
  await recorder.close();
  return { scenes, events };
}
