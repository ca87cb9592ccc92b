import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeEngine } from '../../src/addon/addon.js';
import { addon, CONTEXT, endless, failure, load, loadOptions, picture, question } from './raw-engine.js';

describe('a load that fails', () => {
  const expectCode = async (code: string, changes: Parameters<typeof load>[0]) => {
    const error = await failure(() => load(changes));
    expect(error).toBeInstanceOf(Error);
    expect(error.code).toBe(code);
    return error;
  };

  it('says that the package is not there', () => expectCode('ERR_MODEL_MISSING', { folder: '/no/such/folder', manifest: loadOptions().manifest }));

  it('says what is wrong with a manifest', async () => {
    const { message } = await expectCode('ERR_MODEL_FORMAT', { manifest: '{"architecture": {' });
    expect(message).toMatch(/^manifest\.json: /);
  });

  it('says that a backend or instruction set is not there', async () => {
    await expectCode('ERR_BACKEND_UNAVAILABLE', { backend: 'abacus' });
    await expectCode('ERR_BACKEND_UNAVAILABLE', { cpu: { threads: 1, isa: 'mmx', streamWeights: false } });
  });

  it('names an option of a backend that is wrong', async () => {
    const cpu = { threads: 1, isa: '', streamWeights: false };
    expect((await expectCode('ERR_OPTION', { cpu: 7 as never })).message).toBe('cpu: expected an object');
    expect((await expectCode('ERR_OPTION', { cpu: { ...cpu, threads: -1 } })).message).toBe('cpu.threads: expected an integer from 0 to 1024');
    expect((await expectCode('ERR_OPTION', { tensorrt: { library: 7 as never, plans: '' } })).message).toBe('tensorrt.library: expected a string');
  });

  it('says how much memory it lacks, before taking any', async () => {
    const error = await expectCode('ERR_MEMORY', { cacheTokens: 2_000_000_000 });
    expect(error.details.neededBytes).toBeGreaterThan(error.details.availableBytes as number);
  });

  it('refuses ids that the model does not have', () => expectCode('ERR_OPTION', { prefix: Int32Array.of(1_000_000) }));

  it('refuses a vocabulary whose offsets point outside', async () => {
    await expectCode('ERR_OPTION', { vocabularyOffsets: Uint32Array.of(0, 5_000_000) });
    await expectCode('ERR_OPTION', { vocabularyOffsets: Uint32Array.of(4, 2) });
  });

  it('can be cancelled', async () => {
    const job = addon.load(loadOptions());
    job.cancel();
    expect((await failure(() => job.done)).code).toBe('ERR_DISPOSED');
    expect(addon.handles()).toMatchObject({ engines: 0, jobs: 0 });
  });

  it('can be cancelled at any moment, and too late', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const job = addon.load(loadOptions());
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
      job.cancel();
      const engine = await job.done.catch((error) => void expect(error.code).toBe('ERR_DISPOSED'));
      job.cancel();
      if (engine) {
        expect((await engine.ask(question()).done).finish).not.toBe('cancelled');
        await engine.dispose();
      }
    }
  });

  it('leaves nothing behind', () => {
    expect(addon.handles()).toMatchObject({ engines: 0, jobs: 0 });
  });
});

describe('a job that fails', () => {
  let engine: NativeEngine;
  beforeAll(async () => {
    engine = await load();
  });
  afterAll(() => engine.dispose());

  it('has the stack of its caller, not of the moment it failed', async () => {
    function theCaller() {
      return engine.ask(question({ view: 77 })).done;
    }
    const error = await failure(theCaller);
    expect(error.code).toBe('ERR_DISPOSED');
    expect(error.stack).toMatch(/^Error: view 77: disposed/);
    expect(error.stack).toContain('theCaller');
  });

  it('names tokens needed and available when the context is full', async () => {
    const error = await failure(() => engine.ask(question({ maxTokens: CONTEXT })).done);
    expect(error.code).toBe('ERR_CONTEXT_FULL');
    expect(error.details).toEqual({ neededTokens: CONTEXT + 4, availableTokens: CONTEXT });
  });

  it('is busy while its conversation answers', async () => {
    const conversation = await engine.converse(-1);
    const first = engine.ask(endless({ conversation }));
    expect((await failure(() => engine.ask(question({ conversation })).done)).code).toBe('ERR_BUSY');
    first.cancel();
    expect((await first.done).finish).toBe('cancelled');
    engine.releaseConversation(conversation);
  });

  it('is refused for a picture that does not fill its size', async () => {
    const whole = picture();
    for (const image of [
      { ...whole, data: whole.data.subarray(1) },
      { ...whole, stride: 10 },
      { ...whole, width: 0 },
      { ...whole, width: 1_000_000, height: 1_000_000, stride: 3_000_000 },
      { ...whole, format: 'cmyk' as 'rgb' },
      { ...whole, data: 'pixels' as unknown as Uint8Array },
    ]) {
      expect((await failure(() => engine.look(image, {}).done)).code).toBe('ERR_IMAGE');
    }
  });

  it('is refused for arguments that would read out of bounds', async () => {
    const wrong = [
      { ids: new Int32Array() },
      { ids: Int32Array.of(-1) },
      { ids: Int32Array.of(576) },
      { stopIds: Int32Array.of(576) },
      { maxTokens: 0 },
      { maxTokens: 1.5 },
      { temperature: Number.NaN },
      { ids: [1, 2] as unknown as Int32Array },
      { priority: Number.POSITIVE_INFINITY },
    ];
    for (const changes of wrong) {
      const error = await failure(() => engine.ask(question(changes)).done);
      expect([error.code, changes]).toEqual(['ERR_OPTION', changes]);
    }
    expect((await engine.ask(question()).done).ids.length).toBeGreaterThan(0);
  });

  it('is refused after dispose, which may be called twice', async () => {
    const other = await load();
    await Promise.all([other.dispose(), other.dispose()]);
    await other.dispose();
    expect((await failure(() => other.ask(question()).done)).code).toBe('ERR_DISPOSED');
    expect((await failure(() => other.look(picture(), {}).done)).code).toBe('ERR_DISPOSED');
    expect((await failure(() => other.status())).code).toBe('ERR_DISPOSED');
    other.releaseView(0);
  });
});
