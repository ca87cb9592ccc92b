/** A picture the engine has looked at: its cache rows are kept, so a question costs only the question. */
import { callSite, checkKeys } from '../errors.js';
import { Asker } from './asker.js';
import { CALL_KEYS, Call } from './call.js';
import { Conversation, type ConverseOptions, checkHistory } from './conversation.js';
import type { Engine, Place } from './engine.js';

/** What looking cost. `width` and `height` are those of the upright picture. */
export interface LookResult {
  handle: number;
  tokens: number;
  width: number;
  height: number;
  frame: string | number | undefined;
  timings: { queueMs: number; preprocessMs: number; visionMs: number; prefillMs: number; totalMs: number };
}

export class View extends Asker implements AsyncDisposable {
  /** Positions that the text before the picture and the picture take up. */
  readonly tokens: number;
  /** Of these, the picture's. */
  readonly imageTokens: number;
  readonly width: number;
  readonly height: number;
  readonly timings: LookResult['timings'];
  readonly frame: string | number | undefined;
  private readonly handle: number;
  private disposed = false;

  constructor(engine: Engine, { handle, tokens, width, height, frame, timings }: LookResult) {
    super(engine);
    this.handle = handle;
    this.tokens = tokens;
    this.imageTokens = tokens - engine.prompt.prefix.length;
    this.width = width;
    this.height = height;
    this.frame = frame;
    this.timings = timings;
  }

  /** A conversation about this picture: each question knows the ones before. It outlives the view. */
  async converse(options: ConverseOptions = {}): Promise<Conversation> {
    const site = callSite(this.converse);
    checkKeys('converse', options, [...CALL_KEYS, 'history']);
    const turns = checkHistory(options.history);
    const call = new Call('converse', options, site);
    this.checkAlive(call);
    const handle = await this.engine.converse(this.handle, call);
    return new Conversation(this.engine, handle, (question, history) => this.at(this.engine.prompt.afterPicture(question, history)), turns);
  }

  /** Gives the cache rows back; questions under way still get their answers. Further calls do nothing. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.engine.releaseView(this.handle);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  protected override place(question: string, call: Call): Place {
    this.checkAlive(call);
    return this.at(this.engine.prompt.afterPicture(question));
  }

  private at(ids: Int32Array): Place {
    const { preprocessMs, visionMs } = this.timings;
    return { view: this.handle, rows: this.tokens, ids, preprocessMs, visionMs, frame: this.frame };
  }

  private checkAlive(call: Call): void {
    this.engine.checkAlive(call);
    if (this.disposed) throw call.error('ERR_DISPOSED', 'The view has been disposed');
  }
}
