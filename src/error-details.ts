/** What each code says besides its message: values a program can act on. A name that may be absent has a question mark. */

/** One thing wrong in a configuration. */
export interface IssueDetails {
  /** `cameras.front.uri`; empty: the whole file. */
  path: string;
  expected: string;
  received: string;
  /** The known name that was probably meant. */
  nearest?: string;
  /** file, environment, flag, ... */
  origin?: string;
  /** File name, variable or flag. */
  source?: string;
  line?: number;
  column?: number;
}

/** A node of a pool that was asked and gave no answer: a code of the contract, `SILENT` (nothing came in time) or `OFFLINE` (it was lost). */
export interface TryDetails {
  node: string;
  reason: string;
}

/** Further names of codes that come from the world outside; their meaning stands in the message. */
interface More {
  [name: string]: unknown;
}

interface FileDetails {
  path?: string;
  /** What was read: a field, a tensor. */
  what?: string;
  field?: string;
  tensor?: string;
  token?: string;
  row?: number;
  column?: number;
  offset?: number; // bytes
  expected?: unknown;
  received?: unknown;
  issues?: unknown;
  /** A published kind of model that is not run, by the name people know it by. */
  family?: string;
  /** What to do, as the message says it. */
  remedy?: string;
}

export interface ErrorDetails {
  /** `option` is '' where it is no single one. */
  ERR_OPTION: { option: string; expected?: string; received?: unknown; nearest?: string };
  ERR_CONFIG: { issues?: readonly IssueDetails[] } & More;
  /** `found`: weights in other forms that are there instead. */
  ERR_MODEL_MISSING: { path?: string; found?: string[]; remedy?: string };
  ERR_MODEL_FORMAT: FileDetails;
  ERR_MODEL_CHECKSUM: { path: string; expected: unknown; received: unknown };
  ERR_SELF_TEST: { what?: string; segment?: string; tensor?: string; reasons?: string[]; expected?: unknown; received?: unknown };
  /** `reason`: what is wrong with it, see docs/upgrade.md. */
  ERR_UPDATE: { reason?: string; source?: string; expected?: unknown; received?: unknown };
  ERR_ADDON_LOAD: { attempts: { path: string; reason: string }[]; remedies: string[] };
  ERR_BACKEND_UNAVAILABLE: { path?: string; reasons?: string[] } & More;
  /** NaN: the system does not say. */
  ERR_MEMORY: { neededBytes: number; availableBytes: number };
  ERR_DEVICE: { stage?: string; segment?: string; reasons?: string[] } & More;
  ERR_IMAGE: {
    /** missing: no such file; unreadable: it cannot be read; format: no picture, or of an unknown kind; damaged: data is missing or wrong; size: too large, too small. */
    reason?: 'missing' | 'unreadable' | 'format' | 'damaged' | 'size';
    path?: string;
    /** `jpeg`, `png`, ... */
    format?: string;
    width?: number;
    height?: number;
    stride?: number;
    bytes?: number;
    expectedBytes?: number;
    receivedBytes?: number;
  };
  /** NaN: not known. */
  ERR_CONTEXT_FULL: { neededTokens: number; availableTokens: number };
  /** All places of a node's queue, or a process that holds a lock. */
  ERR_BUSY: { limit?: number; retryAfterMs?: number; path?: string; pid?: number };
  ERR_DISPOSED: Record<never, never>;
  /**
   * `started`: whether work on it had begun. `lateMs`: how long after the moment from which an answer would have been of no use. `ttlMs`: the life of
   * the answer, which was over before it came. `tries`: the nodes of a pool that were asked.
   */
  ERR_DEADLINE: { deadlineMs?: number; started?: boolean; lateMs?: number; ttlMs?: number; tries?: readonly TryDetails[] };
  ERR_CAMERA: { path?: string; remedy?: string; element?: string; decoder?: string; stderr?: string } & More;
  ERR_MQTT: More;
  /** `reason`: the code of the contract (docs/mqtt.md) that the node answered with; absent: no node was asked. `refs`: what it concerns, e.g. the path of a field. */
  ERR_NODE: { reason?: string; node?: string; refs?: readonly { key: string; value: string }[]; tries?: readonly TryDetails[] };
  ERR_INTERNAL: More;
}
