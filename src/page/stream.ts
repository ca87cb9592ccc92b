/** The feed as server-sent events. */
import type { Feed } from './feed.js';

export interface Greeting {
  node: string;
  /** New at every start of the node. */
  session: string;
  version: string;
  role: string;
}

/** A browser hears something at least this often and counts on it; so does the server, which ends what is silent. */
const BEAT_MS = 5000;
const RETRY_MS = 1000;
const MOST_STREAMS = 16;
/** Then it ends, and the browser comes again: whoever may not look any more is told. */
const LIFE_MS = 3_600_000;

export class Streams {
  private open = 0;

  constructor(
    private readonly feed: Pick<Feed, 'read'>,
    private readonly beatMs = BEAT_MS,
    private readonly lifeMs = LIFE_MS,
  ) {}

  /** First `hello`, which begins anew whatever was known; `beat` with the clock when there is nothing to say; the topic `lost` counts what was dropped for this reader. Null: there are too many. */
  begin(greeting: Greeting): ReadableStream<Uint8Array> | null {
    if (this.open >= MOST_STREAMS) return null;
    this.open++;
    const reader = this.feed.read();
    const encoder = new TextEncoder();
    let [greeted, cancelled, dropped] = [false, false, 0];
    const endMs = performance.now() + this.lifeMs;
    const over = () => this.open--;
    return new ReadableStream(
      {
        pull: async (controller) => {
          if (!greeted) {
            greeted = true;
            controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\nevent: hello\ndata: ${JSON.stringify({ ...greeting, now: Date.now() })}\n\n`));
            return;
          }
          if (performance.now() > endMs) reader.close();
          const lines = await reader.next(this.beatMs);
          if (lines === null) {
            if (!cancelled) over();
            if (!cancelled) controller.close();
            return;
          }
          if (reader.dropped > dropped) {
            lines.unshift(`{"topic":"lost","payload":${reader.dropped - dropped}}`);
            dropped = reader.dropped;
          }
          controller.enqueue(
            encoder.encode(lines.length === 0 ? `event: beat\ndata: ${Date.now()}\n\n` : lines.map((line) => `data: ${line}\n\n`).join('')),
          );
        },
        cancel: () => {
          cancelled = true;
          reader.close();
          over();
        },
      },
      { highWaterMark: 1 },
    );
  }
}
