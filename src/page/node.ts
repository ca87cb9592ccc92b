/** What the page needs of a node, and of whoever lets visitors in. */
import type { Context } from 'hono';
import type { ReplayReport } from '../replay/report.js';
import type { Value } from '../watch/spec.js';
import type { Desk } from './desk.js';
import type { Feed } from './feed.js';

export interface Visitor {
  role: 'viewer' | 'operator';
  /** Of the other end. */
  address: string;
}

/** Who asks; called for every request, after whoever may not come in was sent away. */
export type VisitorOf = (context: Context) => Visitor;

/** What an operator did; nothing of it is secret or personal. */
export interface Deed {
  who: string;
  verb: string;
  /** What it concerned, e.g. a watch. */
  what: string;
  /** `ok`, or the code of the error. */
  outcome: string;
}

/** A setting in force, as it may be shown. */
export interface Setting {
  path: string;
  value: unknown;
  origin: string;
  source?: string;
  over?: { value: unknown; source: string };
}

/** Why a setting would be refused. */
export interface OptionIssue {
  path: string;
  message: string;
}

export interface RecordedWatch {
  /** The recorder's; undefined: there is none. */
  folder: string | undefined;
  /** Pictures of its camera may be shown. */
  isShown: boolean;
  /** It is being recorded. */
  isRecorded: boolean;
}

/** How to start commands of `mipha` beside this node. */
export interface Commands {
  /** Program and first arguments. */
  mipha: readonly string[];
  /** Of check-config, for a text on stdin that stands in for the node's own file. */
  check: readonly string[];
}

/** Settings to try on what was recorded of a watch. */
export interface TrialRequest {
  watch: string;
  /** By path, e.g. `events.gap_ms`; null takes a setting away. */
  changes: Readonly<Record<string, unknown>>;
  since?: Date | undefined;
  /** The value that is an alarm. Default: true. */
  positive?: Value | undefined;
}

/** The topic of the page alone on which `Offers` are told. */
export const OFFERS = 'offers';

/** What the configuration of the node lets its page offer, whoever looks. */
export interface Offers {
  /** Free questions, of cameras and pictures. */
  queries: boolean;
  /** Largest picture of a visitor's own that may be asked about, as a file; null: http.chat is off. */
  picture_bytes: number | null;
  /** A configuration can be checked. */
  check: boolean;
}

export interface PageNode {
  node: string;
  session: string;
  version: string;
  feed: Feed;
  /** Of all nodes of the broker: topics `node/NAME` and `broker`, read only while somebody looks. */
  fleet: Pick<Feed, 'read'>;
  desk: Desk;
  /** The JPEG of a frame that an answer named; null: it is gone or may not be shown. */
  frame(camera: string, id: string): Promise<Buffer | null>;
  /** Null: there is no such watch. */
  recorded(watch: string): RecordedWatch | null;
  settings(): readonly Setting[];
  /** What the request `options` would refuse of these; empty: it would take them. */
  checkOptions(options: Readonly<Record<string, unknown>>): readonly OptionIssue[];
  /** What they would have made of it; pictures by path. Rejects with a MiphaError in words for people, and with `signal.reason`. */
  tryOut(request: TrialRequest, options: { signal: AbortSignal; onProgress: (share: number) => void }): Promise<ReplayReport>;
  /** Null: this program has none. */
  commands: Commands | null;
  audit(deed: Deed): void;
}
