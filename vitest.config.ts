import { type TestProjectInlineConfiguration as Configuration, defineConfig } from 'vitest/config';
import { THOROUGH } from './test/support/counts.js';
import { isThorough, type Project, projectOf, runsOnBackend, STANDIN_ENV, testFiles } from './test/support/projects.js';

// `npm run test:thorough` runs again those files that have more to say: full counts. The others would only say the same once more.
const files = testFiles().filter((path) => !THOROUGH || isThorough(path));

/** Groups run one after the other, the files of a group so many at a time. */
function project(
  name: Project | 'tensorrt',
  include: string[],
  groupOrder: number,
  maxWorkers: number,
  more: Configuration['test'] = {},
): Configuration {
  return { extends: true, test: { name, include, maxWorkers, sequence: { groupOrder }, ...more } };
}
const of = (wanted: Project) => files.filter((path) => projectOf(path) === wanted);
const SHARED = 'test/support/shared-nano.ts';

export default defineConfig({
  test: {
    // A process per file: a crash of the addon must name its file. Those that are TypeScript alone share theirs, and what it has loaded.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      project('quick', of('quick'), 0, 2, { isolate: false }),
      project('compute', of('compute'), 0, 2, { globalSetup: [SHARED] }),
      project('processes', of('processes'), 1, 4, { globalSetup: ['test/support/announce-programs.ts'] }), // mostly asleep
      project('engine', of('engine'), 2, 1),
      // The SDK once more on the tensorrt backend, with the stand-in behind it.
      project('tensorrt', files.filter(runsOnBackend), 3, 1, { globalSetup: [SHARED, 'test/support/standin-nano.ts'], env: STANDIN_ENV }),
    ],
  },
});
