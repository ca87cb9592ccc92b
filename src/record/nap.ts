/** Waiting that ends early when something comes up that is urgent enough. */

/** work: there is something to do; now: somebody waits for it, or there is much of it; end: it is the last moment. */
export type Urgency = 'work' | 'now' | 'end';
const ORDER: readonly Urgency[] = ['work', 'now', 'end'];

export class Nap {
  private wakeUp: (() => void) | null = null;
  private endedBy: Urgency = 'work';

  /** `ref`: the process lives on for it. */
  async for(ms: number, endedBy: Urgency, ref: boolean): Promise<void> {
    this.endedBy = endedBy;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      if (!ref) timer.unref();
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wakeUp = null;
  }

  end(urgency: Urgency): void {
    if (ORDER.indexOf(urgency) >= ORDER.indexOf(this.endedBy)) this.wakeUp?.();
  }
}
