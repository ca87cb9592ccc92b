/** The cameras of a loop, and which of their watches want to ask about the newest frame. */
import type { Frame } from '../camera/frame.js';
import type { Inspection } from './inspection.js';
import type { CameraTally } from './loop-status.js';
import { nextTurn } from './turns.js';
import type { Watch } from './watch.js';

/** What the loop needs of a camera. */
export interface Watched {
  readonly id: string;
  readonly slot: { newest(): Frame | undefined };
  on(event: 'frame', listener: (frame: Frame) => void): unknown;
  off(event: 'frame', listener: (frame: Frame) => void): unknown;
}

export interface Post {
  camera: Watched;
  listener: (frame: Frame) => void;
  inspection: Inspection | null; // of the newest frame
  passed: number; // looks that others got since it was due
  lastMs: number;
  status: CameraTally;
}

/** A post with the watches that want to ask about its newest frame. */
export interface Due {
  post: Post;
  inspection: Inspection;
  watches: Watch[];
  /** Those of them that want to ask nothing but their second question. */
  seconds: ReadonlySet<Watch>;
}

/** By priority of their watches, then by who has waited. The others are passed over. */
export function choose(due: readonly Due[]): Due | undefined {
  const chosen = nextTurn(due, ({ post, watches }) => ({
    priority: Math.max(...watches.map(({ spec }) => spec.priority)),
    passed: post.passed,
    lastMs: post.lastMs,
  }));
  for (const { post } of due) post.passed++;
  return chosen;
}
