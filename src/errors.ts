/**
 * The one error class of mipha-edge, its codes, and the one wording for a wrong option.
 * Match on `code`, never on the message.
 */
import { looksLikeAddress, showAddress } from './address.js';
import type { ErrorDetails } from './error-details.js';
import { redactor } from './redact.js';

/** Every code, and whether repeating the same call may succeed later (memory: after freeing some, device: after loading again). */
const RETRYABLE = {
  /** An argument has the wrong type or range, or a name nobody knows. */
  ERR_OPTION: false,
  /** A configuration file breaks its schema. */
  ERR_CONFIG: false,
  /** A file of the package or checkpoint is absent. */
  ERR_MODEL_MISSING: false,
  /** A bad header, name, shape, type, value or version. */
  ERR_MODEL_FORMAT: false,
  /** A file does not have the bytes that the manifest names. */
  ERR_MODEL_CHECKSUM: false,
  /** The golden answers of the package were not reproduced, so it is not served. */
  ERR_SELF_TEST: false,
  /** A release of a package is refused, or cannot be fetched; what runs goes on. */
  ERR_UPDATE: false,
  /** The native binary is missing or cannot be loaded. */
  ERR_ADDON_LOAD: false,
  /** This machine lacks the backend or instruction set that was asked for. */
  ERR_BACKEND_UNAVAILABLE: false,
  /** Not enough memory; found out before anything is taken. */
  ERR_MEMORY: true,
  /** An accelerator failed; the engine is dead. */
  ERR_DEVICE: true,
  /** The size, stride, format or content of a picture. */
  ERR_IMAGE: false,
  /** Prompt, image and answer do not fit. */
  ERR_CONTEXT_FULL: false,
  /** A second question while a conversation is still answering the first. */
  ERR_BUSY: true,
  /** A handle was used after it was disposed. */
  ERR_DISPOSED: false,
  /** A call's `deadlineMs` passed. */
  ERR_DEADLINE: true,
  /** The camera was lost. */
  ERR_CAMERA: true,
  /** The broker cannot be reached or refuses. */
  ERR_MQTT: true,
  /** A node of a pool refused the question, or there is none that could take it. */
  ERR_NODE: false,
  /** A broken invariant inside mipha-edge; never the caller's fault. */
  ERR_INTERNAL: false,
} as const satisfies Record<string, boolean>;

export type ErrorCode = keyof typeof RETRYABLE;
export const errorCodes = Object.keys(RETRYABLE) as ErrorCode[];

export interface MiphaErrorOptions<C extends ErrorCode = ErrorCode> {
  details?: ErrorDetails[C];
  cause?: unknown;
  /** Only where this occurrence differs from its code. */
  retryable?: boolean;
}

/** Details that are always there, as they are where nobody knows them. */
const PROMISED: { [C in ErrorCode]?: ErrorDetails[C] } = {
  ERR_OPTION: { option: '' },
  ERR_MODEL_CHECKSUM: { path: '', expected: undefined, received: undefined },
  ERR_ADDON_LOAD: { attempts: [], remedies: [] },
  ERR_MEMORY: { neededBytes: Number.NaN, availableBytes: Number.NaN },
  ERR_CONTEXT_FULL: { neededTokens: Number.NaN, availableTokens: Number.NaN },
};

interface Shape<C extends ErrorCode> extends Error {
  readonly name: 'MiphaError';
  readonly code: C;
  /** Repeating the same call may succeed later. */
  readonly retryable: boolean;
  readonly details: ErrorDetails[C];
}

/** The error of one code. */
export type MiphaErrorOf<C extends ErrorCode> = C extends ErrorCode ? Shape<C> : never;

/** A comparison of `code` tells which `details` there are. */
export type MiphaError = MiphaErrorOf<ErrorCode>;

interface MiphaErrorConstructor {
  new <C extends ErrorCode>(code: C, message: string, options?: MiphaErrorOptions<C>): MiphaErrorOf<C>;
  readonly prototype: MiphaError;
}

class TypedError<C extends ErrorCode> extends Error {
  override readonly name = 'MiphaError';
  readonly code: C;
  readonly retryable: boolean;
  readonly details: ErrorDetails[C];

  constructor(code: C, message: string, options: MiphaErrorOptions<C> = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? RETRYABLE[code];
    this.details = { ...PROMISED[code], ...options.details } as ErrorDetails[C];
  }
}
Object.defineProperty(TypedError, 'name', { value: 'MiphaError' });
export const MiphaError = TypedError as unknown as MiphaErrorConstructor;

/** The stack of a public call, for the error that may come of it. It becomes text only then: that costs as much as the rest of a call. */
export class CallSite {
  private readonly holder: { stack?: string } = {};

  constructor(publicFunction: (...args: never[]) => unknown) {
    Error.captureStackTrace(this.holder, publicFunction);
  }

  toString(): string {
    return (this.holder.stack ?? '').split('\n').slice(1).join('\n');
  }
}

/** Taken before a call leaves for a native thread: pass the public function, frames from it inward are left out. */
export function callSite(publicFunction: (...args: never[]) => unknown): CallSite {
  return new CallSite(publicFunction);
}

/** A native failure as a MiphaError with the caller's stack; a MiphaError stays itself. */
export function fromNative(error: unknown, site: CallSite | string): MiphaError {
  if (error instanceof MiphaError) return error;
  const { code, message, details } = error as { code?: unknown; message?: unknown; details?: Record<string, unknown> };
  const known = typeof code === 'string' && Object.hasOwn(RETRYABLE, code);
  const named = known ? (code as ErrorCode) : 'ERR_INTERNAL';
  const wrapped = new MiphaError(named, String(message ?? error), { details: { ...details } as ErrorDetails[ErrorCode], cause: error });
  wrapped.stack = `${wrapped.name}: ${wrapped.message}\n${site}`;
  return wrapped;
}

/** `nearest` is the known name or value that the caller probably meant. */
export function optionError(name: string, expected: string, received: unknown, nearest?: string): MiphaError {
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  return new MiphaError('ERR_OPTION', `Option ${name}: expected ${expected}, received ${show(received)}${hint}`, {
    details: { option: name, expected, received, ...(nearest === undefined ? {} : { nearest }) },
  });
}

/** Throws ERR_OPTION when `options` is no plain object or has a key outside `known`. `owner` names the call, e.g. "ask". */
export function checkKeys(owner: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw optionError(owner, 'an object of options', options);
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw optionError(`${owner}.${key}`, known.length > 0 ? `one of the names ${known.join(', ')}` : 'no options', key, nearestKey(key, known));
  }
}

/** The known name closest to `key`, if it is close enough to be a slip of the fingers. */
export function nearestKey(key: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(key.length / 2));
  const scored = known.map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }));
  const best = scored.sort((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= limit ? best.name : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function show(value: unknown): string {
  if (typeof value === 'string') {
    const text = redactor.text(looksLikeAddress(value) ? showAddress(value) : value); // whole: half a secret would not be known as one
    return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
  }
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'symbol') return String(value);
  const kind = (value as object).constructor?.name;
  return kind === undefined || kind === 'Object' ? 'an object' : `an instance of ${kind}`;
}
