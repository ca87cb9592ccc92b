/** The one port of a node, opened as the configuration says. */
import type { Mount } from '../http/app.js';
import type { HealthOptions } from '../http/health.js';
import { HttpServer } from '../http/server.js';
import { readTokens, type Token } from '../http/tokens.js';
import type { Config } from './config/config.js';
import { TOKEN_FILES } from './config/files.js';
import type { Log } from './log/log.js';

export interface PortOptions extends HealthOptions {
  mounts?: readonly Mount[];
}

/** Throws ERR_CONFIG when a token is too short, or the port cannot be had. */
export async function openPort(http: Config['http'], log: Log, options: PortOptions): Promise<HttpServer> {
  const { host, port, allowed_hosts: allowedHosts, behind_tls: behindTls, body_bytes: bodyBytes } = http;
  const tokens: Token[] = [];
  for (const { key, role } of TOKEN_FILES) {
    const file = http[key];
    if (file !== undefined) tokens.push(...(await readTokens(file, role, `http.${key}`)));
  }
  const logger = log.child('http');
  const server = new HttpServer({
    ...options,
    host,
    port,
    tokens,
    allowedHosts,
    behindTls,
    bodyBytes,
    onFault: (error) => logger.error({ err: error }, `a request failed: ${(error as Error)?.message ?? error}`),
    onWrongToken: (address) => logger.warn({ address }, 'somebody came with a token that is not known'),
  });
  await server.start();
  return server;
}
