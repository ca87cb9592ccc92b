/** The model of a node, whichever it is now: whoever has it keeps it while another one takes its place. */
import { MiphaError } from '../../errors.js';
import type { ChatSight, ChatTalk } from '../chat/chat-model.js';
import type { LoadedModel } from './model.js';

export class SeatedModel implements LoadedModel {
  private present: LoadedModel | null;
  private last: LoadedModel;
  private lastStatus: ReturnType<LoadedModel['status']>;

  constructor(model: LoadedModel) {
    this.present = model;
    this.last = model;
    this.lastStatus = model.status();
  }

  /** Seats another one, or none for a while, and gives the one before back. Nothing of that may be under way. */
  put(model: LoadedModel | null): LoadedModel | null {
    const before = this.present;
    if (model === null && before !== null) this.lastStatus = { ...before.status(), memory: [] };
    this.present = model;
    this.last = model ?? this.last;
    return before;
  }

  get name(): string {
    return this.last.name;
  }

  get revision(): string {
    return this.last.revision;
  }

  get context(): number {
    return this.last.context;
  }

  get imageSize(): number {
    return this.last.imageSize;
  }

  status(): ReturnType<LoadedModel['status']> {
    return this.present?.status() ?? this.lastStatus;
  }

  async look(...call: Parameters<LoadedModel['look']>): Promise<ChatSight> {
    return await this.seated().look(...call);
  }

  async converse(...call: Parameters<LoadedModel['converse']>): Promise<ChatTalk> {
    return await this.seated().converse(...call);
  }

  async dispose(): Promise<void> {
    const { present } = this;
    this.present = null;
    await present?.dispose();
  }

  private seated(): LoadedModel {
    if (this.present !== null) return this.present;
    throw new MiphaError('ERR_BUSY', 'The model is being replaced by another one', { details: { retryAfterMs: 5000 } });
  }
}
