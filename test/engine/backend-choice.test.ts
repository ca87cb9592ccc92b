/** What `auto` takes and passes over, and the cuda backend by name, with an addon that does as a GPU would and a file in the place of its library. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CudaFacts, Job, NativeEngine, NativeLoadOptions } from '../../src/addon/addon.js';
import { cudaLibrary, loadAddon } from '../../src/addon/load.js';
import { candidates, proveBackend } from '../../src/engine/backend-choice.js';
import { Mipha } from '../../src/index.js';
import { NANO } from '../support/nano.js';

const addon = loadAddon();
const { load } = addon;
const folder = mkdtempSync(join(tmpdir(), 'mipha-choice-'));
const library = join(folder, 'mipha_cuda.so');
const absent = join(folder, 'absent.so');
writeFileSync(library, 'no library');
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(() => {
  vi.stubEnv('MIPHA_CUDA', library);
  vi.stubEnv('MIPHA_TENSORRT', absent);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const native = (code: string, message: string) => Object.assign(new Error(message), { code, details: {} });

/** The CPU in the place of the GPU, changed by `change`; gives the options of each load of it. */
function onGpu(change: (engine: NativeEngine) => NativeEngine): NativeLoadOptions[] {
  const seen: NativeLoadOptions[] = [];
  vi.spyOn(addon, 'load').mockImplementation((options, onProgress) => {
    if (options.backend !== 'cuda') return load(options, onProgress);
    seen.push(options);
    const job = load({ ...options, backend: 'cpu' }, onProgress);
    return { done: job.done.then(change), cancel: () => job.cancel() };
  });
  return seen;
}

function failing(error: Error): void {
  vi.spyOn(addon, 'load').mockImplementation((options, onProgress): Job<NativeEngine> => {
    return options.backend === 'cuda' ? { done: Promise.reject(error), cancel: () => {} } : load(options, onProgress);
  });
}

describe('auto', () => {
  it('tries TensorRT, CUDA, the CPU, as far as their libraries are there', () => {
    expect(candidates('auto')).toEqual(['cuda', 'cpu']);
    vi.stubEnv('MIPHA_TENSORRT', library);
    expect(candidates('auto')).toEqual(['tensorrt', 'cuda', 'cpu']);
    vi.stubEnv('MIPHA_CUDA', absent);
    expect(candidates('auto')).toEqual(['tensorrt', 'cpu']);
    expect(candidates('cuda')).toEqual(['cuda']);
  });

  it('takes CUDA when it reproduces the golden answer', async () => {
    const seen = onGpu((engine) => engine);
    await using mipha = await Mipha.load(NANO);
    expect(seen).toEqual([expect.objectContaining({ backend: 'cuda' })]);
    expect(seen[0]).not.toHaveProperty('cpu');
    expect(mipha.status().passedOver).toEqual([]);
  });

  it('passes over CUDA that answers something else, and frees it', async () => {
    const disposed = vi.fn();
    onGpu((engine) => ({
      look: (image, options) => engine.look(image, options),
      ask: (options) => {
        const { done, cancel } = engine.ask(options);
        return { done: done.then((outcome) => ({ ...outcome, ids: outcome.ids.map((id) => id + 1) })), cancel };
      },
      gather: () => engine.gather(),
      handOver: () => engine.handOver(),
      converse: (view) => engine.converse(view),
      releaseView: (view) => engine.releaseView(view),
      releaseConversation: (conversation) => engine.releaseConversation(conversation),
      status: () => engine.status(),
      dispose: () => {
        disposed();
        return engine.dispose();
      },
    }));
    await using mipha = await Mipha.load(NANO);
    expect(mipha.status()).toMatchObject({
      backend: 'cpu',
      passedOver: [{ backend: 'cuda', code: 'ERR_SELF_TEST', reason: expect.stringMatching(/self-test failed, answer ids: expected \d+/) }],
    });
    expect(disposed).toHaveBeenCalledOnce();
    await expect(Mipha.load(NANO, { backend: 'cuda' })).rejects.toMatchObject({ code: 'ERR_SELF_TEST' });
  });

  it.each([
    ['ERR_BACKEND_UNAVAILABLE', 'CUDA: heads of 96 are not supported'],
    ['ERR_MEMORY', 'CUDA: weights: 3 GB are needed, 2 GB are free'],
    ['ERR_DEVICE', 'CUDA: an illegal memory access was encountered'],
  ])('passes over CUDA that fails with %s and says so', async (code, reason) => {
    failing(native(code, reason));
    await using mipha = await Mipha.load(NANO);
    expect(mipha.status()).toMatchObject({ backend: 'cpu', passedOver: [{ backend: 'cuda', code, reason }] });
    await expect(Mipha.load(NANO, { backend: 'cuda' })).rejects.toMatchObject({ code, message: reason });
  });

  it('passes over a file that is no library', async () => {
    await using mipha = await Mipha.load(NANO);
    expect(mipha.status()).toMatchObject({
      backend: 'cpu',
      passedOver: [{ backend: 'cuda', code: 'ERR_BACKEND_UNAVAILABLE', reason: expect.stringMatching(/^CUDA: .*mipha_cuda\.so: /) }],
    });
  });

  it('hides no failure that is not of the backend', async () => {
    failing(native('ERR_INTERNAL', 'a broken invariant'));
    await expect(Mipha.load(NANO)).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
  });
});

describe('cuda by name', () => {
  const missing = {
    code: 'ERR_BACKEND_UNAVAILABLE',
    message: expect.stringMatching(/^CUDA: .*absent\.so is not there: npm run build:cuda compiles it .*`mipha doctor` says/),
  };

  it('without its library says what to do', async () => {
    vi.stubEnv('MIPHA_CUDA', absent);
    await expect(Mipha.load(NANO, { backend: 'cuda' })).rejects.toMatchObject(missing);
    await expect(proveBackend(NANO, 'cuda')).rejects.toMatchObject(missing);
  });

  it('is proven by opening the library', async () => {
    await expect(proveBackend(NANO, 'cuda')).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringMatching(/^CUDA: .*mipha_cuda\.so: /), // of the dynamic linker
    });
    const facts = vi.spyOn(addon, 'cudaFacts').mockResolvedValue({} as CudaFacts);
    await proveBackend(NANO, 'cuda');
    expect(facts).toHaveBeenCalledExactlyOnceWith(library);
  });

  it('is the library that setup compiles, or the one that MIPHA_CUDA names', () => {
    expect(cudaLibrary()).toBe(library);
    vi.stubEnv('MIPHA_CUDA', '');
    expect(cudaLibrary()).toMatch(/build\/Release\/mipha_cuda\.so$/);
  });
});
