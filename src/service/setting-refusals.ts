/** Answers to words on settable topics that changed nothing. Nobody waits for a response there, so they are events; whoever floods gets few. */
import { RequestError, requestErrorOf } from '../mqtt/request-error.js';
import type { Topics } from '../mqtt/topics.js';
import { NotUtf8 } from '../utf8.js';
import type { Logger } from './log/log.js';
import { Repeats } from './log/repeats.js';
import type { NodePublisher } from './publish/node.js';
import type { Setting } from './settings.js';

const WINDOW_MS = 10_000;
const MOST_PER_WINDOW = 20;

export class SettingRefusals {
  /** By topic. */
  private readonly repeats: Repeats<{ topic: string; error: RequestError }>;

  constructor(
    private readonly topics: Topics,
    node: NodePublisher,
    private readonly log: Logger,
  ) {
    this.repeats = new Repeats({
      windowMs: WINDOW_MS,
      most: MOST_PER_WINDOW,
      tell: ({ topic, error: { code, message } }, count) =>
        node.event('setting_refused', count === 1 ? message : `${message} (and ${count - 1} more)`, { topic, code }),
      leftOut: (count) => node.event('setting_refused', `${count} more words on settable topics were refused`),
    });
  }

  tell(setting: Setting, error: Error): void {
    const refusal = error instanceof NotUtf8 ? new RequestError('SCHEMA', error.message) : requestErrorOf(error);
    const topic = this.topicOf(setting);
    this.log.warn({ topic, code: refusal.code, ...(refusal.code === 'ENGINE_FAULT' ? { err: error } : {}) }, refusal.message);
    this.repeats.take(topic, { topic, error: refusal });
  }

  /** Leaves no timer behind. */
  stop(): void {
    this.repeats.reset();
  }

  private topicOf(setting: Setting): string {
    const { root } = this.topics;
    return setting.kind === 'camera-set' ? `${root}/camera/${setting.camera}/enabled/set` : `${root}/watch/${setting.watch}/${setting.setting}/set`;
  }
}

export function retainedCommand(): RequestError {
  return new RequestError('RETAINED_COMMAND', 'Commands must not be retained: this one is ignored');
}
