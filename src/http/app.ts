/** All routes of the port, and what holds for each of them. */
import { type Context, Hono } from 'hono';
import { Access, type AccessOptions, type Env } from './access.js';
import { Bodies } from './body.js';
import type { Connections } from './connections.js';
import { type HealthOptions, isProbe, mountHealth } from './health.js';
import type { Hosts } from './hosts.js';
import { mountLogin } from './login.js';
import { isUnexpected, Problem, problemOf } from './problem.js';

/** What routes work with. */
export interface Room {
  access: Access;
  bodies: Bodies;
  /** For what fails when a status has been sent already. */
  onFault: (error: unknown) => void;
}

/** Puts routes into the app. */
export type Mount = (app: Hono<Env>, room: Room) => void;

export interface AppOptions extends AccessOptions, HealthOptions {
  hosts: Hosts;
  bodyBytes: number;
  connections: Connections;
  mounts: readonly Mount[];
  /** Something failed that is nobody's fault but ours. */
  onFault: (error: unknown) => void;
}

/** Nothing here is a page yet, and nothing is for other origins, frames or caches. */
const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  const access = new Access(options);
  const bodies = new Bodies(options.connections, options.bodyBytes);
  app.use(async (c, next) => {
    if (!isProbe(c)) checkHost(c, options.hosts);
    await next();
  });
  mountHealth(app, access, options);
  mountLogin(app, access, bodies);
  for (const mount of options.mounts) mount(app, { access, bodies, onFault: options.onFault });
  const methods = methodsByPath(app);
  app.notFound((c) => said(c, missing(c, methods)));
  app.onError((error, c) => {
    const problem = problemOf(error);
    if (isUnexpected(problem)) options.onFault(problem.options.cause);
    return said(c, problem);
  });
  return app;
}

/** As HEADERS say, for every answer there is. */
export function guarded(response: Response): Response {
  for (const [name, value] of Object.entries(HEADERS)) if (!response.headers.has(name)) response.headers.set(name, value);
  return response;
}

function checkHost(c: Context<Env>, hosts: Hosts): void {
  const { headers, socket } = c.env.incoming;
  if (!hosts.allows(headers.host, socket.localAddress)) {
    throw new Problem(403, 'Under this name nothing is served here: http.allowed_hosts may list it', { code: 'host_not_allowed' });
  }
  if (headers.origin !== undefined && !hosts.sameOrigin(headers.origin, headers.host, socket.localAddress)) {
    throw new Problem(403, 'Nothing is served to pages of other origins', { code: 'origin_not_allowed' });
  }
}

function methodsByPath(app: Hono<Env>): Map<string, string[]> {
  const methods = new Map<string, string[]>();
  for (const { method, path } of app.routes) {
    if (method === 'ALL') continue;
    methods.set(path, [...new Set([...(methods.get(path) ?? []), ...(method === 'GET' ? ['GET', 'HEAD'] : [method])])]);
  }
  return methods;
}

function missing(c: Context<Env>, methods: ReadonlyMap<string, string[]>): Problem {
  const allowed = methods.get(c.req.path);
  if (allowed === undefined) return new Problem(404, `Not found. Here are ${[...methods.keys()].join(', ')}`, { code: 'not_found' });
  return new Problem(405, `only ${allowed.join(' and ')}`, { code: 'method_not_allowed', headers: { Allow: allowed.join(', ') } });
}

/** In words for those who ask with curl, as JSON for clients. */
function said(c: Context<Env>, problem: Problem): Response {
  if (/^\/(v1\/|login$|logout$)/.test(c.req.path)) return problem.response(c);
  return c.text(`${problem.body().error.message}\n`, problem.status, problem.headers());
}
