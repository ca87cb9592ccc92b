/** A token for a cookie, so that a page need not keep it where scripts can read it. */
import type { Hono } from 'hono';
import { z } from 'zod';
import type { Access, Env } from './access.js';
import type { Bodies } from './body.js';
import { Problem } from './problem.js';

const MOST_BYTES = 4096;

const loginSchema = z.strictObject({ token: z.string().min(1).max(1024) });

export function mountLogin(app: Hono<Env>, access: Access, bodies: Bodies): void {
  app.post('/login', async (c) => {
    if (!access.asks) throw new Problem(404, 'There is no login here: this port is open to this machine alone', { code: 'not_found' });
    return await bodies.json(
      c,
      async (value) => {
        const parsed = loginSchema.safeParse(value);
        if (!parsed.success) throw new Problem(400, 'expected {"token": "..."}', { code: 'invalid_value', param: 'token' });
        return c.json({ role: access.login(c, parsed.data.token) });
      },
      MOST_BYTES,
    );
  });
  app.post('/logout', (c) => {
    access.logout(c);
    return c.body(null, 204);
  });
}
