/** Who may do what: the one place where a role is asked for. */
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { Problem } from './problem.js';
import { SESSION_MS, Sessions } from './sessions.js';
import { ROLES, type Role, roleOf, type Token } from './tokens.js';
import { Tries } from './tries.js';

export interface AccessOptions {
  /** None: whoever reaches the port may do everything. */
  tokens: readonly Token[];
  /** Cookies are sent over TLS only. */
  secureCookies: boolean;
  /** Somebody came with a wrong token. */
  onWrong?: ((address: string) => void) | undefined;
}

export type Env = { Bindings: HttpBindings };

const COOKIE = 'mipha_session';

export class Access {
  private readonly sessions = new Sessions();
  private readonly tries = new Tries();

  constructor(private readonly options: AccessOptions) {}

  /** Whether anybody is asked who he is. */
  get asks(): boolean {
    return this.options.tokens.length > 0;
  }

  /** Lets those pass who have the role, or a higher one. */
  needs(role: Role): MiddlewareHandler<Env> {
    return async (c, next) => {
      this.check(c, role);
      await next();
    };
  }

  /** Throws a Problem: 401, 403 or 429. */
  check(c: Context<Env>, role: Role): void {
    if (!this.asks) return;
    const has = this.roleIn(c);
    if (has === null) throw unknown('A token is needed: Authorization: Bearer TOKEN, or POST /login');
    if (ROLES.indexOf(has) < ROLES.indexOf(role)) throw new Problem(403, `This needs the role ${role}, yours is ${has}`, { code: 'forbidden' });
  }

  /** Exchanges a token for a cookie. Throws a Problem. */
  login(c: Context<Env>, token: string): Role {
    const role = this.compared(c, token);
    this.setCookie(c, this.sessions.begin(role), SESSION_MS / 1000);
    return role;
  }

  logout(c: Context<Env>): void {
    const id = sessionIn(c);
    if (id !== null) this.sessions.end(id);
    this.setCookie(c, '', 0);
  }

  private roleIn(c: Context<Env>): Role | null {
    const header = c.req.header('authorization');
    if (header !== undefined) {
      const [, token] = /^bearer +(\S+) *$/i.exec(header) ?? [];
      if (token === undefined) throw unknown('Authorization: expected Bearer and a token');
      return this.compared(c, token);
    }
    const id = sessionIn(c);
    const role = id === null ? null : this.sessions.role(id);
    // what a browser sends by itself must come from a page of ours, and where something changes it must say so
    if (role !== null && !['GET', 'HEAD'].includes(c.req.method) && c.req.header('origin') === undefined) {
      throw new Problem(403, 'With a cookie, requests that change something need the header Origin', { code: 'forbidden' });
    }
    return role;
  }

  /** A right token is always let in: of 256 bits none is found by trying, and a neighbour who tries must not lock anybody out. */
  private compared(c: Context<Env>, token: string): Role {
    const role = roleOf(token, this.options.tokens);
    if (role !== null) return role;
    const address = c.env.incoming.socket.remoteAddress ?? '';
    const waitMs = this.tries.waitMs(address);
    if (waitMs > 0) throw new Problem(429, 'Too many wrong tokens from this address', { code: 'too_many_tries', retryAfterMs: waitMs });
    this.tries.failed(address);
    this.options.onWrong?.(address);
    throw unknown('This token is not known');
  }

  private setCookie(c: Context<Env>, value: string, seconds: number): void {
    const secure = this.options.secureCookies ? '; Secure' : '';
    c.header('Set-Cookie', `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`);
  }
}

function sessionIn(c: Context<Env>): string | null {
  const cookies = (c.req.header('cookie') ?? '').split(';').map((pair) => pair.trim().split(/=(.*)/s, 2));
  return cookies.find(([name]) => name === COOKIE)?.[1] || null;
}

function unknown(message: string): Problem {
  return new Problem(401, message, { code: 'invalid_api_key', headers: { 'WWW-Authenticate': 'Bearer realm="mipha"' } });
}
