/** A port with what a test mounts, and a client that says exactly what it is told to. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HttpOptions, HttpServer } from '../../src/http/server.js';
import { type Role, readTokens } from '../../src/http/tokens.js';

export interface Port extends AsyncDisposable {
  port: number;
  url: string;
  faults: unknown[];
  wrong: string[];
}

export async function open(options: Partial<HttpOptions> = {}): Promise<Port> {
  const faults: unknown[] = [];
  const wrong: string[] = [];
  const server = new HttpServer({
    host: '127.0.0.1',
    port: 0,
    live: () => [{ name: 'process', ok: true }],
    ready: () => [{ name: 'engine', ok: true, detail: 'ready' }],
    metrics: async () => ({ contentType: 'text/plain', text: 'mipha_x 1\n' }),
    onFault: (error) => faults.push(error),
    onWrongToken: (address) => wrong.push(address),
    ...options,
  });
  const port = await server.start();
  return { port, url: `http://127.0.0.1:${port}`, faults, wrong, [Symbol.asyncDispose]: () => server.stop() };
}

export const newToken = () => randomBytes(32).toString('hex');

/** As they stand in files. */
export async function tokensOf(entries: readonly (readonly [Role, string])[]) {
  const folder = await mkdtemp(join(tmpdir(), 'mipha-tokens-'));
  try {
    const read = entries.map(async ([role, token], index) => {
      await writeFile(join(folder, `${index}`), `${token}\n`);
      return await readTokens(join(folder, `${index}`), role, `http.${role}_token_file`);
    });
    return (await Promise.all(read)).flat();
  } finally {
    await rm(folder, { recursive: true });
  }
}

export interface Said {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** Every header as it is given, Host and Origin too. */
export async function say(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Said> {
  return await new Promise<Said>((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text })).on('error', reject);
    });
    asked.on('error', reject).end(body);
  });
}

export const JSON_TYPE = { 'Content-Type': 'application/json' };
