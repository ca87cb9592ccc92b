/** Who has logged in with a browser: in memory, for a day, so many at most. */
import { randomBytes } from 'node:crypto';
import { digestOf, type Role } from './tokens.js';

export const SESSION_MS = 24 * 3_600_000;
const MOST_SESSIONS = 256;

export class Sessions {
  /** By the digest of the id, the oldest first: what is in memory opens nothing. */
  private readonly open = new Map<string, { role: Role; untilMs: number }>();

  /** Returns the id of a new one. */
  begin(role: Role): string {
    const id = randomBytes(32).toString('base64url');
    this.open.set(keyOf(id), { role, untilMs: performance.now() + SESSION_MS });
    for (const [key, { untilMs }] of this.open) {
      if (this.open.size <= MOST_SESSIONS && untilMs > performance.now()) break;
      this.open.delete(key);
    }
    return id;
  }

  /** Null: there is none of that id any more. */
  role(id: string): Role | null {
    const session = this.open.get(keyOf(id));
    return session !== undefined && session.untilMs > performance.now() ? session.role : null;
  }

  end(id: string): void {
    this.open.delete(keyOf(id));
  }
}

function keyOf(id: string): string {
  return digestOf(id).toString('base64');
}
