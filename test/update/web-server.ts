/** A web server for releases, with a certificate of its own and bad habits on demand. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';

/** Handles the request itself; false: as usual. */
export type Habit = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface WebServer extends AsyncDisposable {
  origin: string;
  ca: Buffer;
  /** Path and range of each request. */
  asked: string[];
  habit: Habit;
}

/** Serves `root`, with ranges. The certificate goes into `folder`. */
export async function serveFolder(root: string, folder: string): Promise<WebServer> {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, ...subject],
    {
      stdio: 'ignore',
    },
  );
  const ca = readFileSync(cert);
  const web: WebServer = {
    origin: '',
    ca,
    asked: [],
    habit: () => false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  const server = createServer({ key: readFileSync(key), cert: ca }, (request, response) => {
    web.asked.push(`${request.url} ${request.headers.range ?? ''}`.trim());
    if (!web.habit(request, response)) serve(root, request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  web.origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return web;
}

function serve(root: string, request: IncomingMessage, response: ServerResponse): void {
  const path = join(root, normalize(decodeURIComponent(request.url ?? '/')));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    response.writeHead(404).end('not here');
    return;
  }
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const length = { 'content-length': size - from };
  response.writeHead(from === 0 ? 200 : 206, from === 0 ? length : { ...length, 'content-range': `bytes ${from}-${size - 1}/${size}` });
  createReadStream(path, { start: from }).pipe(response);
}
