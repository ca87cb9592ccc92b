/** Health and metrics over HTTP: /livez, /readyz and /metrics, for machines that watch this one. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MiphaError } from '../errors.js';
import { redactor } from '../redact.js';

export interface Check {
  name: string;
  ok: boolean;
  /** Why not, or how well. */
  detail?: string;
}

export interface HttpOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Whether the process is worth keeping; a broker that is away is no reason to restart it. */
  live: () => readonly Check[];
  /** Whether it does its job now. */
  ready: () => readonly Check[];
  metrics: () => Promise<{ contentType: string; text: string }>;
}

const REQUEST_TIMEOUT_MS = 5000;
const IDLE_TIMEOUT_MS = 5000;
const MOST_CONNECTIONS = 32;
const MOST_HEADER_BYTES = 8192;
const MOST_HEADERS = 64;

export class HttpServer implements AsyncDisposable {
  private server: Server | null = null;

  constructor(private readonly options: HttpOptions) {}

  /** Resolves with the port when it listens. Throws ERR_CONFIG when it cannot. */
  async start(): Promise<number> {
    const { host, port } = this.options;
    const server = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: IDLE_TIMEOUT_MS,
        maxHeaderSize: MOST_HEADER_BYTES,
        connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 2,
      },
      (request, response) => void this.answer(request, response),
    );
    server.maxConnections = MOST_CONNECTIONS;
    server.maxHeadersCount = MOST_HEADERS;
    server.timeout = 2 * REQUEST_TIMEOUT_MS; // a reader that stops reading is let go
    server.listen(port, host);
    try {
      await once(server, 'listening');
    } catch (cause) {
      throw cannotListen(host, port, cause as NodeJS.ErrnoException);
    }
    server.on('error', () => {}); // accepting one connection failed, e.g. for lack of descriptors; the next may not
    this.server = server;
    return (server.address() as AddressInfo).port;
  }

  /** Ends all connections; resolves when none is left. */
  async stop(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    this.server = null;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume(); // a body is of no interest, but must not stop the connection
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    try {
      const [path = '', query = ''] = (request.url ?? '').split('?', 2);
      const verbose = new URLSearchParams(query).has('verbose');
      switch (path) {
        case '/livez':
          return this.health(request, response, this.options.live, verbose);
        case '/readyz':
          return this.health(request, response, this.options.ready, verbose);
        case '/metrics': {
          if (!allowed(request, response)) return;
          const { contentType, text } = await this.options.metrics();
          return send(request, response, 200, contentType, text);
        }
        default:
          return send(request, response, 404, 'text/plain; charset=utf-8', 'not found: /livez, /readyz and /metrics are here\n');
      }
    } catch (error) {
      if (response.headersSent) response.destroy();
      else send(request, response, 500, 'text/plain; charset=utf-8', redactor.text(`${(error as Error).message}\n`));
    }
  }

  /** 200 when every check passes, else 503; the checks themselves only on ?verbose, as JSON. */
  private health(request: IncomingMessage, response: ServerResponse, checks: () => readonly Check[], verbose: boolean): void {
    if (!allowed(request, response)) return;
    const results = checks();
    const ok = results.every((check) => check.ok);
    const status = ok ? 200 : 503;
    if (verbose) send(request, response, status, 'application/json', `${JSON.stringify(redactor.value({ ok, checks: results }), null, 2)}\n`);
    else send(request, response, status, 'text/plain; charset=utf-8', ok ? 'ok\n' : 'not ok\n');
  }
}

function allowed(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return true;
  response.setHeader('Allow', 'GET, HEAD');
  send(request, response, 405, 'text/plain; charset=utf-8', 'only GET\n');
  return false;
}

function send(request: IncomingMessage, response: ServerResponse, status: number, contentType: string, text: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) });
  response.end(request.method === 'HEAD' ? undefined : text);
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): MiphaError {
  const [path, expected] =
    cause.code === 'EADDRINUSE'
      ? ['http.port', 'a port that is free']
      : cause.code === 'EACCES'
        ? ['http.port', 'a port that this user may take (1024 and above)']
        : ['http.host', 'an address of this machine'];
  const received = `${host}:${port} (${cause.code})`;
  return new MiphaError('ERR_CONFIG', `${path}: expected ${expected}, received ${received}`, {
    details: { issues: [{ path, expected, received, origin: 'file' }] },
    cause,
  });
}
