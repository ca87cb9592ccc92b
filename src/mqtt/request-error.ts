/** Why a request was not answered with what it asked for, in the words of the contract. */
import type { z } from 'zod';
import { type ErrorCode, MiphaError } from '../errors.js';
import type { RequestErrorBody, RequestErrorCode } from './messages.js';

const RETRYABLE: ReadonlySet<RequestErrorCode> = new Set([
  'NO_FRAME',
  'STALE_FRAME',
  'QUEUE_FULL',
  'DRAINING',
  'EXPIRED',
  'TIMEOUT',
  'MODEL_LOADING',
  'ENGINE_FAULT',
  'SHUTTING_DOWN',
]);

export interface RequestErrorOptions {
  retryable?: boolean;
  retryAfterMs?: number;
  level?: RequestErrorBody['level'];
  /** What it concerns, e.g. { camera: 'front' }. */
  refs?: RequestErrorBody['refs'];
  cause?: unknown;
}

/** Thrown by handlers of requests; its message is sent to whoever asked. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly level: RequestErrorBody['level'];
  readonly refs: RequestErrorBody['refs'];

  constructor(
    readonly code: RequestErrorCode,
    message: string,
    options: RequestErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryable = options.retryable ?? RETRYABLE.has(code);
    this.retryAfterMs = options.retryAfterMs;
    this.level = options.level ?? (code === 'ENGINE_FAULT' ? 'CRITICAL' : 'WARNING');
    this.refs = options.refs ?? [];
  }

  body(): RequestErrorBody {
    const { code, message, retryable, retryAfterMs, level, refs } = this;
    return { code, message, retryable, ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }), level, refs };
  }
}

const CODES: Record<ErrorCode, RequestErrorCode> = {
  ERR_OPTION: 'SCHEMA',
  ERR_CONFIG: 'SCHEMA',
  ERR_CONTEXT_FULL: 'SCHEMA', // the question is too long for the model
  ERR_IMAGE: 'SCHEMA', // in a request: a crop that leaves nothing of the picture
  ERR_BUSY: 'QUEUE_FULL',
  ERR_DISPOSED: 'SHUTTING_DOWN',
  ERR_DEADLINE: 'TIMEOUT',
  ERR_CAMERA: 'NO_FRAME',
  ERR_MEMORY: 'ENGINE_FAULT',
  ERR_DEVICE: 'ENGINE_FAULT',
  ERR_UPDATE: 'MODEL_REFUSED',
  ERR_SELF_TEST: 'ENGINE_FAULT',
  ERR_MODEL_MISSING: 'ENGINE_FAULT',
  ERR_MODEL_FORMAT: 'ENGINE_FAULT',
  ERR_MODEL_CHECKSUM: 'ENGINE_FAULT',
  ERR_ADDON_LOAD: 'ENGINE_FAULT',
  ERR_BACKEND_UNAVAILABLE: 'ENGINE_FAULT',
  ERR_MQTT: 'ENGINE_FAULT',
  ERR_NODE: 'ENGINE_FAULT',
  ERR_INTERNAL: 'ENGINE_FAULT',
};

/** Whatever a handler threw. Messages of errors that are not ours may hold anything and are not passed on. */
export function requestErrorOf(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  if (error instanceof MiphaError) {
    const retryAfterMs = error.code === 'ERR_BUSY' ? error.details.retryAfterMs : undefined;
    const hint = retryAfterMs === undefined ? {} : { retryAfterMs };
    return new RequestError(CODES[error.code], error.message, { retryable: error.retryable, ...hint, cause: error });
  }
  if ((error as { name?: unknown } | null)?.name === 'AbortError')
    return new RequestError('CANCELLED', 'The request was cancelled', { cause: error });
  return new RequestError('ENGINE_FAULT', 'An internal error, see the log of the node', { retryable: false, cause: error });
}

/** One reference per field that is wrong, at most ten. */
export function schemaError(error: z.ZodError): RequestError {
  const refs = error.issues.slice(0, 10).map(({ path, message }) => ({ key: path.map(String).join('.') || '(payload)', value: message }));
  return new RequestError(
    'SCHEMA',
    `The request does not fit its schema: ${refs.map(({ key, value }) => `${key}: ${value}`).join('; ')}`.slice(0, 1000),
    {
      refs,
    },
  );
}
