import { describe, expect, it } from 'vitest';
import { addon, failure, NANO, picture } from './raw-engine.js';

describe('quantize', () => {
  const quantize = async (values: number[], rows: number, columns: number) => {
    const weight = new Int8Array(rows * columns);
    const scale = new Float32Array(rows);
    await addon.quantize(new Uint8Array(Float32Array.from(values).buffer), 'F32', rows, columns, weight, scale);
    return { weight, scale };
  };

  it('writes weights and scales of the caller', async () => {
    const { weight, scale } = await quantize([127, -127, 0, 64, 0, 0, 0, 0], 2, 4);
    expect([...scale]).toEqual([1, 0]);
    expect([...weight]).toEqual([127, -127, 0, 64, 0, 0, 0, 0]);
  });

  it('gives the same bytes for a large matrix, split over threads, as row by row', async () => {
    const rows = 700;
    const columns = 1001;
    const values = Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 0.37) * (1 + (i % 13)));
    const whole = await quantize(values, rows, columns);
    for (const row of [0, 1, 349, 350, 699]) {
      const one = await quantize(values.slice(row * columns, (row + 1) * columns), 1, columns);
      expect(one.scale[0]).toBe(whole.scale[row]);
      expect(one.weight).toEqual(whole.weight.slice(row * columns, (row + 1) * columns));
    }
  });

  it('names row and column of a value that is no number, wherever it is', async () => {
    const rows = 700;
    const columns = 1001;
    const values = new Array<number>(rows * columns).fill(1);
    values[655 * columns + 44] = Number.NaN;
    const error = await failure(() => quantize(values, rows, columns));
    expect(error.code).toBe('ERR_MODEL_FORMAT');
    expect(error.message).toMatch(/655\D+44/);
  });

  it('refuses arrays that do not fit the shape', async () => {
    const call = (source: number, weight: number, scale: number) =>
      failure(() => addon.quantize(new Uint8Array(source), 'BF16', 2, 3, new Int8Array(weight), new Float32Array(scale)));
    expect((await call(11, 6, 2)).code).toBe('ERR_OPTION');
    expect((await call(12, 5, 2)).code).toBe('ERR_OPTION');
    expect((await call(12, 6, 3)).code).toBe('ERR_OPTION');
  });
});

describe('int8Peak', () => {
  it('is more than a slow board does, and 0 where there is no AVX-512 VNNI to measure', () => {
    const peak = addon.int8Peak();
    if (addon.cpu().runnable.includes('avx512vnni')) expect(peak).toBeGreaterThan(1e10);
    else expect(peak).toBe(0);
  });
});

describe('trace', () => {
  const trace = (isa: string, probe: Parameters<typeof addon.trace>[5]) =>
    addon.trace(NANO, isa, picture(), Int32Array.of(1, 2, 3), Int32Array.of(10, 11), probe);

  it('shows every intermediate and gives the last logits', () => {
    const seen = new Map<string, [number, number]>();
    const logits = trace('', (name, data, rows, columns) => {
      expect(data.length).toBe(rows * columns);
      seen.set(name, [rows, columns]);
    });
    expect(logits.length).toBe(576);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(seen.get('tower.0')).toEqual([64, 216]);
    expect(seen.get('features')).toEqual([64, 320]);
    expect(seen.get('language.4')).toEqual([3 + 64 + 2, 320]);
  });

  it('passes on what the probe throws', () => {
    const attempt = () =>
      trace('scalar', () => {
        throw new RangeError('enough');
      });
    expect(attempt).toThrow(new RangeError('enough'));
  });

  it('refuses ids that the model does not have', async () => {
    const error = await failure(() => addon.trace(NANO, '', picture(), Int32Array.of(99_999), new Int32Array(), () => undefined));
    expect(error.code).toBe('ERR_OPTION');
  });
});

describe('the machine', () => {
  it('is described', () => {
    const cpu = addon.cpu();
    expect(cpu.compiled).toContain('scalar');
    expect(cpu.runnable.at(-1)).toBe('scalar');
    for (const isa of cpu.runnable) expect(cpu.compiled).toContain(isa);
    expect(cpu.physicalCores).toBeGreaterThanOrEqual(1);
    expect(cpu.threads).toBeGreaterThanOrEqual(cpu.physicalCores);
    expect(cpu.memoryBytes).toBeGreaterThan(cpu.availableBytes);
    const [tensorrt, cuda, ...others] = addon.backends();
    expect(others).toEqual([{ name: 'cpu', available: true, reason: '' }]);
    expect([tensorrt?.name, cuda?.name]).toEqual(['tensorrt', 'cuda']);
    const missing = `there is no ${process.env.MIPHA_CUDA}, compiled where nvcc and a CUDA device are by: npm run build:cuda`; // vitest.config.ts
    expect(cuda).toEqual({ name: 'cuda', available: false, reason: missing });
    if (tensorrt?.available === false)
      expect(tensorrt.reason).toMatch(/^there is no .*mipha_tensorrt\.so, compiled where TensorRT is installed by: npm rebuild mipha-edge/);
    expect(addon.version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe('addProduct', () => {
  it('adds scale · b · a in place', async () => {
    const out = Float32Array.of(1, 2, 3, 4, 5, 6);
    await addon.addProduct(out, Float32Array.of(1, 2, 3, 4), Float32Array.of(1, 0, -1, 0, 1, 2), 2, 2, 3, 0.5);
    expect([...out]).toEqual([1.5, 3, 4.5, 5.5, 7, 8.5]);
  });

  it('refuses arrays that do not fit their sizes', async () => {
    const [two, four] = [new Float32Array(2), new Float32Array(4)];
    for (const [out, b, a] of [
      [two, four, four],
      [four, two, four],
      [four, four, two],
    ] as const) {
      expect(await failure(() => addon.addProduct(out, b, a, 2, 2, 2, 1))).toMatchObject({ code: 'ERR_OPTION' });
    }
  });
});
