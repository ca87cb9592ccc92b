/** What a client sends, read within bytes: of each request, and of all that are being read or answered at once. */
import type { Context } from 'hono';
import type { Env } from './access.js';
import type { Connections } from './connections.js';
import { Problem } from './problem.js';

/** So many of the largest at once. */
const LARGEST_AT_ONCE = 8;

export class Bodies {
  private held = 0;

  constructor(
    private readonly connections: Connections,
    private readonly mostBytes: number,
  ) {}

  /** Bytes that are held now. */
  get bytes(): number {
    return this.held;
  }

  /**
   * The JSON of a request, handed to `work`; its bytes count as held until that is done. Throws a Problem: 400 for what is no JSON, 413 for too much of
   * it, 415 for another type, 429 while too much is held for others.
   */
  async json<T>(c: Context<Env>, work: (value: unknown) => Promise<T>, most = this.mostBytes): Promise<T> {
    const type = c.req.header('content-type') ?? '';
    if (!/^application\/json\s*(;|$)/i.test(type)) {
      throw new Problem(415, `Content-Type: expected application/json, received ${type.slice(0, 60) || 'none'}`, { code: 'unsupported_media_type' });
    }
    const account = { bytes: 0 };
    try {
      const bytes = await this.read(c, Math.min(most, this.mostBytes), account);
      this.connections.complete(c.env.incoming.socket);
      return await work(parsed(bytes));
    } finally {
      this.held -= account.bytes;
    }
  }

  private async read(c: Context<Env>, most: number, account: { bytes: number }): Promise<Buffer> {
    const { incoming } = c.env;
    const announced = Number(incoming.headers['content-length'] ?? 0);
    if (announced > most) throw tooLarge(most, announced);
    const hold = (bytes: number) => {
      if (this.held + bytes > LARGEST_AT_ONCE * this.mostBytes) throw crowded();
      account.bytes += bytes;
      this.held += bytes;
    };
    hold(announced);
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of whole(incoming)) {
      length += part.length;
      if (length > most) throw tooLarge(most, length);
      if (length > account.bytes) hold(length - account.bytes);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }
}

/** A client that leaves before it has said all is no fault of ours. */
async function* whole(incoming: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* incoming;
  } catch (cause) {
    throw new Problem(400, 'The body was cut off', { code: 'cut_off', cause });
  }
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Problem(400, 'The body is not JSON in UTF-8', { code: 'invalid_json', cause });
  }
}

function tooLarge(most: number, bytes: number): Problem {
  return new Problem(413, `The body has at most ${most} bytes, received ${bytes} or more`, { code: 'request_too_large' });
}

function crowded(): Problem {
  return new Problem(429, 'Too many large requests at once', { code: 'too_much_at_once', retryAfterMs: 1000 });
}
