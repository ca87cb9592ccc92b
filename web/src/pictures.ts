/**
 * Which picture of a camera is shown beside which answers. An answer and the picture it names appear together: it waits for its picture a moment. Where
 * that does not come, the answer is shown alone, and the picture that stays is said to be of another moment.
 */
import type { Result } from '../../src/mqtt/messages.js';

export interface Shown {
  /** Null: no picture has come yet. */
  picture: { frame: string; ts: string; url: string } | null;
  /** By watch: the answers that are shown. */
  results: Record<string, Result>;
}

export interface PictureDeskOptions {
  camera: string;
  /** Resolves when the picture can be painted at once; rejects when it is gone. */
  load: (url: string) => Promise<void>;
  onShown: (shown: Shown) => void;
  /** False: pictures stand still until they are asked for. */
  follows: () => boolean;
  waitMs?: number;
}

const WAIT_MS = 800;

export class PictureDesk {
  shown: Shown = { picture: null, results: {} };
  private newest: Record<string, Result> = {};
  private loading = false;
  private closed = false;
  private isWanted = false; // asked for by hand
  private failed = ''; // a frame that is gone is not asked for again

  constructor(private readonly options: PictureDeskOptions) {}

  /** The newest answers of the watches of this camera; pictures of it may be shown. */
  take(results: Record<string, Result>, hasPictures: boolean): void {
    this.newest = results;
    if (!hasPictures) {
      this.failed = '';
      this.show(null);
    } else void this.next();
  }

  /** The newest picture, though pictures stand still. */
  ask(): void {
    this.isWanted = true;
    void this.next();
  }

  close(): void {
    this.closed = true;
  }

  private async next(): Promise<void> {
    if (this.loading) return;
    const wanted = newestFrame(this.newest);
    const isNew = wanted !== null && wanted.id !== this.shown.picture?.frame && wanted.id !== this.failed;
    if (!isNew || !(this.isWanted || this.options.follows() || this.shown.picture === null)) {
      this.isWanted = false;
      this.show(this.shown.picture);
      return;
    }
    this.loading = true;
    this.isWanted = false;
    const { camera, load, waitMs = WAIT_MS } = this.options;
    const results = this.newest;
    const picture = { frame: wanted.id, ts: wanted.ts, url: pictureUrl(camera, wanted.id) };
    // an answer does not wait for ever: after that it is shown beside the picture that is there
    const late = setTimeout(() => this.show(this.shown.picture), waitMs);
    try {
      await load(picture.url);
      this.show(picture, about(picture.frame, results, this.newest));
    } catch {
      this.failed = wanted.id;
      this.show(this.shown.picture, about(wanted.id, results, this.newest));
    } finally {
      clearTimeout(late);
      this.loading = false;
    }
    if (newestFrame(this.newest)?.id !== wanted.id) void this.next();
  }

  private show(picture: Shown['picture'], results = this.newest): void {
    if (this.closed || (picture === this.shown.picture && sameResults(results, this.shown.results))) return;
    this.shown = { picture, results };
    this.options.onShown(this.shown);
  }
}

export function pictureUrl(camera: string, frame: string): string {
  return `api/frames/${camera}/${encodeURIComponent(frame)}.jpg`;
}

/** Answers of the moment at which the picture was wanted: those that have come since wait for their own. What is not known any more is so at once. */
function about(frame: string, then: Record<string, Result>, now: Record<string, Result>): Record<string, Result> {
  return Object.fromEntries(
    Object.entries(now).flatMap(([watch, result]) => {
      const shown = result.frame?.id === frame || result.status !== 'ok' ? result : then[watch];
      return shown === undefined ? [] : [[watch, shown]];
    }),
  );
}

/** What an answer that can be shown is about. */
function newestFrame(results: Record<string, Result>): { id: string; ts: string } | null {
  const frames = Object.values(results).flatMap(({ frame, status }) => (frame === null || status !== 'ok' ? [] : [frame]));
  return frames.reduce<{ id: string; ts: string } | null>((newest, frame) => (newest === null || frame.ts > newest.ts ? frame : newest), null);
}

function sameResults(a: Record<string, Result>, b: Record<string, Result>): boolean {
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return left.length === right.length && left.every(([watch, { id }]) => b[watch]?.id === id);
}
