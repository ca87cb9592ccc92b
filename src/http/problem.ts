/** What went wrong with a request: a status, and the words of the interface that clients of chat completions know. */
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type ErrorCode, MiphaError } from '../errors.js';
import { redactor } from '../redact.js';

export interface ProblemOptions {
  /** A short word for programs. */
  code?: string;
  /** The field of the request. */
  param?: string;
  /** After which to try again. */
  retryAfterMs?: number;
  headers?: Record<string, string>;
  /** Ours, where the error began as one. */
  mipha?: { code: ErrorCode; retryable: boolean; details?: Record<string, unknown> };
  cause?: unknown;
}

/** Its message is sent to whoever asked. */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: ContentfulStatusCode,
    message: string,
    readonly options: ProblemOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
  }

  body(): { error: Record<string, unknown> } {
    const { code = null, param = null, mipha } = this.options;
    const message = redactor.text(this.message);
    return { error: { message, type: TYPES[this.status] ?? 'invalid_request_error', param, code, ...(mipha === undefined ? {} : { mipha }) } };
  }

  headers(): Record<string, string> {
    const { retryAfterMs, headers = {} } = this.options;
    return { ...headers, ...(retryAfterMs === undefined ? {} : { 'Retry-After': `${Math.max(1, Math.ceil(retryAfterMs / 1000))}` }) };
  }

  response(c: Context): Response {
    return c.json(this.body(), this.status, this.headers());
  }
}

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
  504: 'timeout_error',
};

const STATUS: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  ERR_OPTION: 400,
  ERR_IMAGE: 400,
  ERR_CONTEXT_FULL: 400,
  ERR_BUSY: 429,
  ERR_DISPOSED: 503,
  ERR_CAMERA: 503,
  ERR_MEMORY: 503,
  ERR_DEADLINE: 504,
};

/** Where no status is known, or the error is not ours, its words may tell of the machine: they are for the log alone. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (!(error instanceof MiphaError)) return unexpected(error);
  const { code, retryable } = error;
  const status = STATUS[code];
  if (status === undefined) return unexpected(error);
  return new Problem(status, error.message, { ...told(error), mipha: { code, retryable, details: plainDetails(error) }, cause: error });
}

export function isUnexpected({ status }: Problem): boolean {
  return status === 500;
}

function unexpected(cause: unknown): Problem {
  return new Problem(500, 'An internal error, see the log', { code: 'internal_error', cause });
}

function told(error: MiphaError): ProblemOptions {
  switch (error.code) {
    case 'ERR_BUSY':
      return { code: 'queue_full', retryAfterMs: error.details.retryAfterMs ?? 1000 };
    case 'ERR_CONTEXT_FULL':
      return { code: 'context_length_exceeded', param: 'messages' };
    case 'ERR_IMAGE':
      return { code: 'invalid_image', param: 'messages' };
    case 'ERR_DISPOSED':
      return { code: 'stopping', retryAfterMs: 2000 };
    case 'ERR_DEADLINE':
      return { code: 'deadline_exceeded' };
    default:
      return {};
  }
}

/** Numbers and words; no path. */
function plainDetails({ details }: MiphaError): Record<string, unknown> {
  const plain = Object.entries(details).filter(([name, value]) => name !== 'path' && ['number', 'boolean', 'string'].includes(typeof value));
  return redactor.value(Object.fromEntries(plain.map(([name, value]) => [name, Number.isNaN(value) ? null : value])));
}
