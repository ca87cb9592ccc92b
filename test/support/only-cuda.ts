/** A setup file of vitest: what a suite loads without naming a backend runs on CUDA, and never, unnoticed, on the CPU that `auto` falls back to. */
import { vi } from 'vitest';
import { type LoadOptions, Mipha } from '../../src/index.js';

const load = Mipha.load.bind(Mipha);
vi.spyOn(Mipha, 'load').mockImplementation(async (folder: string, options?: LoadOptions) => {
  const mipha = await load(folder, options);
  const { backend, passedOver } = mipha.status();
  if (backend === 'cuda' || options?.backend === 'cpu') return mipha;
  await mipha.dispose();
  throw new Error(`loaded on ${backend}: ${JSON.stringify(passedOver)}`);
});
