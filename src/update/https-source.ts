/** A release on a web server: each file by its name below one address. Redirects are not followed, whatever they say, and a server that stalls is left. */
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { MiphaError } from '../errors.js';
import { refused } from './refused.js';
import type { Source } from './source.js';

/** Without a byte for so long the connection is given up. */
const STALL_MS = 30_000;

export class HttpsSource implements Source {
  readonly name: string;
  readonly isRemote = true;
  private readonly stallMs: number;
  private readonly ca: Buffer | undefined;

  /** The address ends with a slash. */
  constructor(
    private readonly address: URL,
    { ca, stallMs = STALL_MS }: { ca?: Buffer | undefined; stallMs?: number },
  ) {
    this.name = address.href;
    this.ca = ca;
    this.stallMs = stallMs;
  }

  async small(path: string, mostBytes: number, signal: AbortSignal): Promise<Buffer> {
    const { pieces } = await this.read(path, 0, signal);
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const piece of pieces) {
      size += piece.length;
      if (size > mostBytes) throw refused('checksum', `${this.name}${path}: expected at most ${mostBytes} bytes, received more`);
      parts.push(piece);
    }
    return Buffer.concat(parts);
  }

  async read(path: string, from: number, signal: AbortSignal): Promise<{ from: number; pieces: AsyncIterable<Uint8Array> }> {
    const address = new URL(path, this.address);
    const response = await this.get(address, from, signal);
    const { statusCode = 0, headers } = response;
    if (statusCode === 206 && headers['content-range']?.startsWith(`bytes ${from}-`))
      return { from, pieces: this.piecesOf(response, address, signal) };
    if (statusCode === 200) return { from: 0, pieces: this.piecesOf(response, address, signal) };
    response.destroy();
    if (statusCode >= 300 && statusCode < 400) throw redirected(address, headers.location);
    const isPassing = statusCode >= 500 || statusCode === 429 || statusCode === 206;
    throw new MiphaError('ERR_UPDATE', `${address.href}: expected the file, received HTTP ${statusCode}`, {
      details: { reason: 'unreachable', expected: 200, received: statusCode },
      retryable: isPassing,
    });
  }

  private get(address: URL, from: number, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { 'accept-encoding': 'identity', ...(from === 0 ? {} : { range: `bytes=${from}-` }) };
      const trust = this.ca === undefined ? {} : { ca: this.ca };
      const sent = request(address, { signal, headers, agent: false, timeout: this.stallMs, ...trust });
      sent.on('response', (response) => {
        sent.on('timeout', () => response.destroy(this.stalled(address)));
        resolve(response);
      });
      sent.on('timeout', () => sent.destroy(this.stalled(address)));
      sent.on('error', (error) => reject(signal.aborted ? signal.reason : unreachable(address, error)));
      sent.end();
    });
  }

  private async *piecesOf(response: IncomingMessage, address: URL, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of response) yield piece as Buffer;
    } catch (error) {
      throw signal.aborted ? signal.reason : unreachable(address, error);
    } finally {
      response.destroy();
    }
  }

  private stalled(address: URL): MiphaError {
    return refused('unreachable', `${address.href}: the server has sent nothing for ${this.stallMs / 1000} s`);
  }
}

function unreachable(address: URL, error: unknown): MiphaError {
  if (error instanceof MiphaError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return refused('unreachable', `${address.href}: ${code ?? message}`, { cause: error });
}

function redirected(address: URL, location: string | undefined): MiphaError {
  const to = location !== undefined && URL.canParse(location, address.href) ? new URL(location, address).origin : 'nowhere';
  const expected = 'the file itself';
  return refused('source', `${address.href}: expected ${expected}, received a redirect to ${to}; none is followed`, { expected, received: to });
}
