/** Cameras, watches and queries on a loaded model: started, changed and stopped together. */
import type { Frame } from '../camera/frame.js';
import type { WatchEvent } from '../watch/event.js';
import { type Look, WatchLoop } from '../watch/loop.js';
import type { Opinion } from '../watch/opinion.js';
import { type Eyes, nothingKnown, type WatchOutcome } from '../watch/outcome.js';
import { Queries } from '../watch/queries.js';
import { Spare } from '../watch/spare.js';
import { Usage } from '../watch/usage.js';
import type { BrokerSide } from './broker-side.js';
import type { CameraReporter } from './camera-reporter.js';
import { CameraSet } from './cameras.js';
import { KeptPicture } from './chat/kept-picture.js';
import type { Config } from './config/config.js';
import type { ConfigDiff } from './config/diff.js';
import { rethrow } from './last-words.js';
import type { LoadedModel } from './model/model.js';
import type { RecordKeeper } from './recording/keeper.js';
import { timeZoneOf } from './time-zone.js';
import type { Troubles } from './troubles.js';

export interface WatchingOptions {
  model: LoadedModel;
  side: BrokerSide;
  reporter: CameraReporter;
  troubles: Troubles;
  onOutcome: (outcome: WatchOutcome) => void;
  onEvent: (event: WatchEvent) => void;
  onOpinion: (opinion: Opinion) => void;
  /** Another number of queries is waiting or under way. */
  onLoad: () => void;
  onLook: (frame: Frame, look: Look) => void;
  record: Pick<RecordKeeper, 'onDecision' | 'suppressed' | 'marked'>;
}

export class Watching {
  readonly cameras: CameraSet;
  readonly loop: WatchLoop;
  readonly queries: Queries;
  /** Of the engine, what cameras' watches and queries leave. */
  readonly spare: Spare;
  /** Of chat completions, which wait in the lane of `queries`. */
  readonly kept = new KeptPicture();

  constructor(
    private readonly options: WatchingOptions,
    config: Config,
  ) {
    const { model, reporter, onOutcome, onEvent, onOpinion, onLoad, onLook, record } = options;
    const usage = new Usage(); // of the one engine that both use
    this.spare = new Spare(usage);
    const loop = new WatchLoop(model, {
      onOutcome,
      onEvent,
      onOpinion,
      onLook,
      onSuppressed: (news) => record.suppressed(news),
      onMark: (watch, mark) => record.marked(watch, mark),
      get onDecision() {
        return record.onDecision;
      },
      onFault: rethrow, // an answer would be lost, uncounted
      usage,
      timeZone: timeZoneOf(config),
    });
    this.loop = loop;
    const eyes: Eyes = {
      look: async (image, call) => {
        await this.kept.forget();
        return await model.look(image, call);
      },
    };
    this.queries = new Queries(eyes, { limit: config.requests.queue, usage, onChange: onLoad });
    this.cameras = new CameraSet(model.imageSize, {
      added: (camera) => {
        reporter.added(camera);
        loop.addCamera(camera);
      },
      removed: (camera) => {
        loop.removeCamera(camera.id);
        reporter.removed(camera);
      },
    });
  }

  /** Throws ERR_OPTION for a camera that cannot be opened as it is configured. Nothing is asked before begin(). */
  async open({ cameras, watches }: Config): Promise<void> {
    for (const [id, spec] of Object.entries(watches)) {
      this.loop.put(id, spec);
      this.options.side.node.watchSettings(id, spec);
    }
    await this.cameras.apply(cameras);
  }

  begin(): void {
    this.loop.start();
  }

  /** Puts a changed configuration into force. Throws as open() does, and then has changed nothing. */
  async apply({ cameras, watches, requests }: Config, diff: ConfigDiff): Promise<void> {
    const { side, troubles } = this.options;
    await this.cameras.apply(cameras);
    for (const [id, { enabled }] of Object.entries(cameras)) if (!enabled) troubles.cameraFine(id);
    for (const id of diff.watches.removed) {
      this.loop.delete(id);
      side.results.forget(id);
      side.node.forgetWatchSettings(id);
      troubles.watchFine(id);
    }
    for (const id of diff.watches.added) side.results.watch(nothingKnown(id, watches[id] as Config['watches'][string]));
    for (const id of [...diff.watches.added, ...diff.watches.changed]) {
      troubles.watchFine(id); // it is tried anew
      this.loop.put(id, watches[id] as Config['watches'][string]);
    }
    this.queries.lane.setLimit(requests.queue);
  }

  /** For good; what is under way may finish within the budget. */
  async stop(budgetMs: number): Promise<void> {
    await Promise.all([this.loop.stop(budgetMs), this.queries.lane.stop(budgetMs)]);
    await this.kept.forget();
    await this.cameras.stop();
  }
}
