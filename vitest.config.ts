import { defineConfig } from 'vitest/config';
import { STANDIN_ENV } from './test/support/standin-nano.js';

export default defineConfig({
  test: {
    // A process per file, one at a time: an engine takes every core, and a crash of the addon must name its file.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      { extends: true, test: { name: 'main', include: ['test/**/*.test.ts'], globalSetup: ['test/support/announce-programs.ts'] } },
      // The SDK once more on the tensorrt backend, with the stand-in behind it; its held-out scenes are asked through the graphs, test/package/onnx.
      {
        extends: true,
        test: {
          name: 'tensorrt',
          include: ['test/engine/*.test.ts'],
          exclude: ['test/engine/eval.test.ts'],
          globalSetup: ['test/support/standin-nano.ts'],
          env: STANDIN_ENV,
        },
      },
    ],
  },
});
