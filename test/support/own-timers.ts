/**
 * Files of tests share a process. A timer that outlives its file fires among another's, whose clock may be a fake one: that file fails then, now and
 * again. It is the file that left it which is at fault.
 */
import { beforeAll, expect } from 'vitest';

const PATCHED = Symbol.for('own-timers');
const shared = globalThis as typeof globalThis & { [PATCHED]?: { file: string | undefined } };

beforeAll(() => {
  const current = shared[PATCHED] ?? patch();
  current.file = expect.getState().testPath;
});

function patch(): { file: string | undefined } {
  const current: { file: string | undefined } = { file: undefined };
  for (const name of ['setTimeout', 'setInterval'] as const) {
    const real = globalThis[name] as (...values: unknown[]) => unknown;
    const checked = (callback: (...values: unknown[]) => void, ...rest: unknown[]) => {
      const { file } = current;
      const set = new Error(`a timer that ${file} left behind`);
      const fire = (...values: unknown[]) => {
        if (file !== current.file && !setByNode(set)) throw new Error(`In ${current.file} fires ${set.message}`, { cause: set });
        callback(...values);
      };
      return real(fire, ...rest);
    };
    Object.assign(globalThis, { [name]: Object.assign(checked, real) });
  }
  shared[PATCHED] = current;
  return current;
}

/** Its fetch() keeps a timer for a second after the last connection. */
function setByNode({ stack = '' }: Error): boolean {
  return stack.split('\n')[2]?.includes('node:internal/') ?? false;
}
