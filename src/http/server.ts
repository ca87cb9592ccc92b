/** The one port: health and metrics, and what is mounted beside them. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { MiphaError } from '../errors.js';
import { createApp, guarded, type Mount } from './app.js';
import { Connections } from './connections.js';
import type { HealthOptions } from './health.js';
import { Hosts } from './hosts.js';
import { SILENCE_MS } from './silence.js';
import type { Token } from './tokens.js';

export interface HttpOptions extends HealthOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Default: none, and nobody is asked for one. */
  tokens?: readonly Token[] | undefined;
  /** Names besides that of loopback and `host`. */
  allowedHosts?: readonly string[] | undefined;
  /** A proxy in front of it speaks TLS: cookies are sent over that alone. */
  behindTls?: boolean | undefined;
  /** Longest body. Default 8 MiB. */
  bodyBytes?: number | undefined;
  /** Default 2048. */
  mostConnections?: number | undefined;
  mounts?: readonly Mount[] | undefined;
  onFault?: ((error: unknown) => void) | undefined;
  onWrongToken?: ((address: string) => void) | undefined;
}

const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 30_000; // its body included

const KEEP_ALIVE_MS = 5000;
/** For answers that are on their way when it stops. */
const LAST_ANSWERS_MS = 1000;
const CHECK_MS = 1000;
const MOST_CONNECTIONS = 2048;
const MOST_HEADER_BYTES = 8192;
const MOST_HEADERS = 64;
export const BODY_BYTES = 8 << 20;

export class HttpServer implements AsyncDisposable {
  private server: Server | null = null;
  private readonly connections: Connections;

  constructor(private readonly options: HttpOptions) {
    this.connections = new Connections(options.mostConnections ?? MOST_CONNECTIONS);
  }

  /** Resolves with the port when it listens. Throws ERR_CONFIG when it cannot. */
  async start(): Promise<number> {
    const { host, port } = this.options;
    const server = this.make();
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

  /** Ends all connections, those that wait for an answer a little later; resolves when none is left. */
  async stop(): Promise<void> {
    const { server } = this;
    if (server === null) return;
    this.server = null;
    const closed = once(server, 'close');
    server.close();
    await this.connections.end(LAST_ANSWERS_MS);
    server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private make(): Server {
    const { host, tokens = [], allowedHosts, behindTls = false, bodyBytes = BODY_BYTES, mounts = [], onFault = () => {} } = this.options;
    const { connections } = this;
    const app = createApp({
      ...this.options,
      tokens,
      secureCookies: behindTls,
      onWrong: this.options.onWrongToken,
      hosts: new Hosts(host, allowedHosts),
      bodyBytes,
      connections,
      mounts,
      onFault,
    });
    const answer = getRequestListener(async (request, bindings) => guarded(await app.fetch(request, bindings)), {
      overrideGlobalObjects: false,
      autoCleanupIncoming: false, // what is left of a body Node itself reads and drops; to close before would take the answer from the client
      errorHandler: () => guarded(new Response('bad request\n', { status: 400, headers: { 'Content-Type': 'text/plain; charset=utf-8' } })),
    });
    const server = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: HEADERS_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: MOST_HEADER_BYTES,
        connectionsCheckingInterval: CHECK_MS,
      },
      (request, response) => {
        const { socket, headers } = request;
        if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) connections.complete(socket);
        response.once('close', () => connections.answered(socket));
        void answer(request, response);
      },
    );
    server.on('connection', (socket) => connections.accept(socket));
    server.maxHeadersCount = MOST_HEADERS;
    server.timeout = SILENCE_MS;
    return server;
  }
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
