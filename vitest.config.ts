import { resolve } from 'node:path';
import { type TestProjectInlineConfiguration as Configuration, defineConfig } from 'vitest/config';
import { THOROUGH } from './test/support/counts.js';
import { MACHINE_ENV } from './test/support/machine.js';
import { filesOf, type Project, STANDIN_ENV } from './test/support/projects.js';

/** `npm run test:thorough` runs those files that have more to say: full counts. Groups run one after the other, the files of a group so many at a time. */
function project(name: Project | 'tensorrt', groupOrder: number, maxWorkers: number, more: Configuration['test'] = {}): Configuration {
  return { extends: true, test: { name, include: filesOf(name, THOROUGH), maxWorkers, sequence: { groupOrder }, ...more } };
}

/** On two cores: where all run together half of them wait, for a broker, a camera or a child; the full counts compute for minutes. */
const WORKERS = THOROUGH ? 2 : 4;
const SHARED = 'test/support/shared-nano.ts';
/** For files that leave no timer, no socket and no handle of the addon behind: a process of its own takes a second to begin. */
const IN_ONE_PROCESS = { isolate: false, setupFiles: ['test/support/no-secrets.ts', 'test/support/own-timers.ts'] };

/** Kernels are interpreted there: limits of time are longer. */
const CUDA = { globalSetup: ['test/support/machine.ts'], setupFiles: ['test/support/only-cuda.ts'], env: MACHINE_ENV, testTimeout: 900_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: THOROUGH ? 180_000 : 60_000,
    hookTimeout: 300_000,
    env: { MIPHA_CUDA: resolve('build/none.so') }, // a developer's GPU is not what `auto` finds in tests
    projects: [
      project('quick', 0, WORKERS, IN_ONE_PROCESS),
      project('compute', 0, WORKERS, { globalSetup: [SHARED], ...IN_ONE_PROCESS }),
      project('engine', 0, WORKERS),
      // The SDK once more on the tensorrt backend, with the stand-in behind it: in the thorough run.
      project('tensorrt', 0, WORKERS, { globalSetup: [SHARED, 'test/support/standin-nano.ts'], env: STANDIN_ENV }),
      project('cuda', 0, WORKERS, CUDA),
      project('processes', THOROUGH ? 1 : 0, 4, { globalSetup: ['test/support/announce-programs.ts'] }), // mostly asleep
      project('measured', 2, 1),
    ],
  },
});
