import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/addon/load.js';
import {
  type CallSite,
  callSite,
  checkKeys,
  errorCodes,
  fromNative,
  MiphaError,
  type MiphaErrorOf,
  nearestKey,
  optionError,
} from '../../src/errors.js';

describe('MiphaError', () => {
  it('knows for each code whether trying again can help', () => {
    const retryable = errorCodes.filter((code) => new MiphaError(code, '').retryable);
    expect(retryable.sort()).toEqual(['ERR_BUSY', 'ERR_CAMERA', 'ERR_DEADLINE', 'ERR_DEVICE', 'ERR_MEMORY', 'ERR_MQTT']);
    expect(new MiphaError('ERR_CAMERA', '', { retryable: false }).retryable).toBe(false);
    expect(errorCodes.every((code) => code.startsWith('ERR_'))).toBe(true);
  });

  it('carries details and cause, and is an Error', () => {
    const cause = new Error('inside');
    const error = new MiphaError('ERR_IMAGE', 'no pixels', { details: { width: 0 }, cause });
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.details, error.cause]).toEqual(['MiphaError', { width: 0 }, cause]);
    expect(new MiphaError('ERR_IMAGE', '').details).toEqual({});
    expect('cause' in new MiphaError('ERR_IMAGE', '')).toBe(false);
  });
});

describe('details', () => {
  it('are typed by the code', () => {
    const caught: unknown = new MiphaError('ERR_MEMORY', 'm', { details: { neededBytes: 2, availableBytes: 1 } });
    if (!(caught instanceof MiphaError)) throw caught;
    if (caught.code === 'ERR_MEMORY') {
      const needed: number = caught.details.neededBytes;
      expect(needed).toBe(2);
    }
    switch (caught.code) {
      case 'ERR_OPTION': {
        const option: string = caught.details.option;
        throw new Error(option);
      }
      case 'ERR_IMAGE': {
        const reason: 'missing' | 'unreadable' | 'format' | 'damaged' | 'size' | undefined = caught.details.reason;
        throw new Error(reason);
      }
      case 'ERR_ADDON_LOAD':
        throw new Error(caught.details.attempts[0]?.path);
    }
    // @ts-expect-error: before the code is known, nobody knows which details there are
    expect(caught.details.neededBytes).toBe(2);
    // @ts-expect-error: a name that this code does not have
    const wrong = new MiphaError('ERR_MEMORY', 'm', { details: { needed: 1 } });
    expect(wrong.details).toMatchObject({ neededBytes: Number.NaN });
    const memory: MiphaErrorOf<'ERR_MEMORY'> = new MiphaError('ERR_MEMORY', 'm');
    const any: MiphaError = memory;
    expect(any.name).toBe('MiphaError');
  });

  it('that are promised are there, also where the thrower knows none', () => {
    expect(new MiphaError('ERR_MEMORY', '').details).toEqual({ neededBytes: Number.NaN, availableBytes: Number.NaN });
    expect(fromNative({ code: 'ERR_CONTEXT_FULL', message: 'x', details: { neededTokens: 7 } }, '').details).toEqual({
      neededTokens: 7,
      availableTokens: Number.NaN,
    });
    expect(fromNative({ code: 'ERR_OPTION', message: 'x' }, '').details).toEqual({ option: '' });
    expect(Object.getPrototypeOf(new MiphaError('ERR_BUSY', '')).constructor.name).toBe('MiphaError');
  });
});

describe('native failures', () => {
  function publicCall(): CallSite {
    return callSite(publicCall);
  }
  const site = publicCall();

  it("keep code, message and details, with the caller's stack", () => {
    const native = Object.assign(new Error('needs more'), { code: 'ERR_MEMORY', details: { neededBytes: 2, availableBytes: 1 } });
    const error = fromNative(native, site);
    expect(error).toMatchObject({ code: 'ERR_MEMORY', message: 'needs more', retryable: true, cause: native });
    expect(error.details).toEqual({ neededBytes: 2, availableBytes: 1 });
    expect(error.stack).toContain('errors.test.ts');
    expect(error.stack).not.toContain('publicCall');
  });

  it('cost no text of a stack where there is none', () => {
    const { prepareStackTrace } = Error;
    const written = vi.fn((_: Error, frames: NodeJS.CallSite[]) => `Error\n${frames.map((frame) => frame.getFileName()).join('\n')}`);
    Error.prepareStackTrace = written;
    try {
      const ours = publicCall();
      expect(written).not.toHaveBeenCalled();
      expect(`${ours}`).toContain('errors.test.ts');
      expect(written).toHaveBeenCalledOnce();
    } finally {
      if (prepareStackTrace === undefined) delete (Error as Partial<typeof Error>).prepareStackTrace;
      else Error.prepareStackTrace = prepareStackTrace;
    }
  });

  it('without a known code are internal, and typed ones stay themselves', () => {
    expect(fromNative(new Error('?'), site).code).toBe('ERR_INTERNAL');
    expect(fromNative({ code: 'toString', message: 'x' }, site).code).toBe('ERR_INTERNAL');
    expect(fromNative('text', site).message).toBe('text');
    const typed = new MiphaError('ERR_BUSY', '');
    expect(fromNative(typed, site)).toBe(typed);
  });
});

describe('option errors', () => {
  it('have one wording', () => {
    expect(optionError('ask.topP', 'a number above 0 and at most 1', 7).message).toBe(
      'Option ask.topP: expected a number above 0 and at most 1, received 7',
    );
    expect(optionError('load.backend', 'auto or cpu', 'cp', 'cpu').message).toBe(
      'Option load.backend: expected auto or cpu, received "cp" (did you mean cpu?)',
    );
    expect(optionError('a', 'b', 'c', 'd')).toMatchObject({
      code: 'ERR_OPTION',
      details: { option: 'a', expected: 'b', received: 'c', nearest: 'd' },
    });
  });

  it('show any value shortly', () => {
    const shown = (value: unknown) => optionError('x', 'y', value).message.replace('Option x: expected y, received ', '');
    expect([null, undefined, 1n, [1, 2], {}, new Map(), () => 1, Symbol('s'), 'x'.repeat(100)].map(shown)).toEqual([
      'null',
      'undefined',
      '1n',
      'an array of 2',
      'an object',
      'an instance of Map',
      'a function',
      'Symbol(s)',
      `"${'x'.repeat(57)}..."`,
    ]);
  });

  it('name the nearest known key', () => {
    expect(() => checkKeys('ask', { maxToken: 1 }, ['maxTokens', 'signal'])).toThrow(
      'Option ask.maxToken: expected one of the names maxTokens, signal, received "maxToken" (did you mean maxTokens?)',
    );
    expect(() => checkKeys('ask', { zzz: 1 }, ['maxTokens'])).not.toThrow(/did you mean/);
    expect(() => checkKeys('ask', null, [])).toThrow('Option ask: expected an object of options, received null');
    expect(() => checkKeys('ask', [], [])).toThrow(MiphaError);
    expect(checkKeys('ask', {}, [])).toBeUndefined();
    expect(nearestKey('MAXTOKENS', ['topP', 'maxTokens'])).toBe('maxTokens');
    expect(nearestKey('quite different', ['topP'])).toBeUndefined();
  });
});

describe('a binary that cannot be loaded', () => {
  it('is explained with every attempt and what to run', () => {
    const root = mkdtempSync(join(tmpdir(), 'mipha-addon-'));
    try {
      mkdirSync(join(root, 'build', 'Debug'), { recursive: true });
      writeFileSync(join(root, 'build', 'Debug', 'mipha_edge.node'), 'not a library');
      let error: unknown;
      try {
        loadAddon(root);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'ERR_ADDON_LOAD' });
      const { attempts, remedies } = (error as MiphaError).details as { attempts: { path: string; reason: string }[]; remedies: string[] };
      expect(attempts.map(({ path }) => path)).toEqual(['Release', 'Debug'].map((flavour) => join(root, 'build', flavour, 'mipha_edge.node')));
      expect(attempts[0]?.reason).toBe('no such file');
      expect(attempts[1]?.reason).not.toBe('no such file');
      for (const text of [...attempts.map(({ path }) => path), ...remedies]) expect((error as MiphaError).message).toContain(text);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
