/**
 * The picture that was asked about last, as the engine saw it: asked about again within a minute, it is not looked at again. One, and no memory beyond
 * what is planned for any question: it has the place that a question's own view would have, and makes room before another picture is looked at.
 */
import type { ChatSight } from './chat-model.js';

const KEPT_MS = 60_000;

export class KeptPicture {
  private kept: { key: string; view: ChatSight } | null = null;
  private timer: NodeJS.Timeout | undefined;

  /** The view of that picture, which whoever takes it keeps again or disposes; undefined: another one was kept, and is gone. */
  async take(key: string): Promise<ChatSight | undefined> {
    const { kept } = this;
    if (kept?.key !== key) {
      await this.forget();
      return undefined;
    }
    this.kept = null;
    clearTimeout(this.timer);
    return kept.view;
  }

  keep(key: string, view: ChatSight): void {
    clearTimeout(this.timer);
    this.kept = { key, view };
    this.timer = setTimeout(() => void this.forget(), KEPT_MS);
    this.timer.unref();
  }

  async forget(): Promise<void> {
    clearTimeout(this.timer);
    const { kept } = this;
    this.kept = null;
    await kept?.view.dispose().catch(() => {}); // only an engine that is gone, and the view with it
  }
}
