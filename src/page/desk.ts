/** The requests of MQTT over HTTP: the same schemas, handlers, rules and responses; only the way back is another. */
import { randomUUID } from 'node:crypto';
import type { RequestErrorCode, Response } from '../mqtt/messages.js';
import { Requests, type RequestsOptions } from '../mqtt/requests.js';

export type DeskOptions = Omit<RequestsOptions, 'respond'>;

interface Caller {
  progress: (response: Response) => void;
  done: (response: Response) => void;
}

export class Desk {
  private readonly requests: Requests;
  private readonly callers = new Map<string, Caller>(); // by correlation

  constructor(private readonly options: DeskOptions) {
    this.requests = new Requests({
      ...options,
      respond: (_, payload, { correlation }) => {
        const response = JSON.parse(payload.toString()) as Response;
        const caller = this.callers.get(correlation?.toString() ?? '');
        if (response.status === 'ok' || response.status === 'error') caller?.done(response);
        else caller?.progress(response);
        return 'sent';
      },
    });
  }

  /** Never rejects: what went wrong stands in the response. Aborting `signal` cancels the request. */
  ask(verb: string, payload: Buffer, signal: AbortSignal, progress: (response: Response) => void = () => {}): Promise<Response> {
    const id = randomUUID();
    const cancel = () => this.handle('cancel', Buffer.from(JSON.stringify({ target: id })), randomUUID());
    return new Promise((resolve) => {
      const done = (response: Response) => {
        this.callers.delete(id);
        signal.removeEventListener('abort', cancel);
        resolve(response);
      };
      this.callers.set(id, { progress, done });
      signal.addEventListener('abort', cancel, { once: true });
      this.handle(verb, payload, id);
      if (signal.aborted) cancel();
    });
  }

  /** What is under way, and all that still comes, is answered with SHUTTING_DOWN. */
  stop(): void {
    this.requests.stop();
  }

  private handle(verb: string, payload: Buffer, id: string): void {
    const { topics } = this.options;
    const message = {
      ...{ topic: topics.request(verb), payload, retained: false, duplicate: false },
      ...{ responseTopic: topics.response('http'), correlation: Buffer.from(id) },
    };
    this.requests.handle(message, { verb, broadcast: false });
  }
}

const STATUS: Record<RequestErrorCode, number> = {
  BAD_JSON: 400,
  SCHEMA: 400,
  TOO_LARGE: 413,
  FORBIDDEN: 403,
  RETAINED_COMMAND: 400,
  UNKNOWN_VERB: 404,
  UNKNOWN_CAMERA: 404,
  UNKNOWN_WATCH: 404,
  UNKNOWN_ANSWER: 404,
  NO_FRAME: 503,
  STALE_FRAME: 503,
  QUEUE_FULL: 429,
  DRAINING: 503,
  EXPIRED: 504,
  TIMEOUT: 504,
  CANCELLED: 409,
  MODEL_REFUSED: 422,
  MODEL_LOADING: 503,
  ENGINE_FAULT: 500,
  SHUTTING_DOWN: 503,
};

/** Of HTTP, for a final response. */
export function statusOf({ error }: Response): number {
  return error === null ? 200 : STATUS[error.code];
}
