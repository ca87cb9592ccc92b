/**
 * Tests that need programs from the system's package manager. Where one is missing they are skipped, and announce-programs.ts says what to
 * install; in CI, where everything must be there, they fail instead.
 */
import { describe, it } from 'vitest';
import { PROGRAMS, type Program } from './program-list.js';

/** A describe() block that needs these programs. */
export function describeWith(programs: readonly Program[], name: string, body: () => void): void {
  const missing = programs.filter((program) => !PROGRAMS[program].probe());
  if (missing.length === 0) {
    describe(name, body);
    return;
  }
  const remedy = `needs ${missing.join(', ')}: apt-get install -y ${missing.map((program) => PROGRAMS[program].install).join(' ')}`;
  if (process.env.CI) {
    it(name, () => {
      throw new Error(remedy);
    });
  } else {
    describe.skip(`${name} (${remedy})`, body);
  }
}
