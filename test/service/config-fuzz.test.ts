import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { MiphaError } from '../../src/errors.js';
import { mergeOptions } from '../../src/service/config/change.js';
import { type ConfigInput, type ConfigIssue, type LoadedConfig, loadConfig } from '../../src/service/config/config.js';
import { diffConfig, inForce } from '../../src/service/config/diff.js';
import { differenceOf, dropOverrides, withOverrides } from '../../src/service/config/overrides.js';
import { configSchema } from '../../src/service/config/schema.js';
import { configShape, keysOf, type SettingShape } from '../../src/service/config/shape.js';
import { ROOT } from '../cli/run.js';
import { counts } from '../support/counts.js';

const SEEDS = counts(60, 250);

let folder = '';
let example = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-fuzz-'));
  example = await readFile(join(ROOT, 'examples', 'config.yaml'), 'utf8');
});
afterAll(() => rm(folder, { recursive: true }));

/** Numbers in [0, 1) from a seed, so that a failure can be repeated. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    const mixed = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;

const ODD = [
  null,
  '',
  0,
  -1,
  1.5,
  1e308,
  Number.NaN,
  true,
  false,
  'x',
  'Ü',
  '\0',
  '../..',
  '%h',
  [],
  {},
  [null],
  { a: 1 },
  'constructor',
  '__proto__',
  '1',
];
const KEYS = ['x', 'front', 'Bad Id', '', 'toString', 'constructor', 'hasOwnProperty', '0', 'a.b', 'length', 'type'];

const TEXTS: Record<string, readonly string[]> = {
  uri: ['synthetic://kitchen', 'csi://0', 'v4l2:///dev/video0', 'webcam'],
  url: ['mqtt://127.0.0.1', 'mqtts://broker', 'mqtt://broker'],
  camera: ['front', 'roof'],
  question: ['Why?', ' '],
};

/** Values for shapes: right ones, with a share of nonsense. */
class Maker {
  constructor(
    readonly random: Random,
    readonly nonsense: number,
  ) {}

  value(shape: SettingShape, key = '', depth = 0): unknown {
    const { random } = this;
    if (random() < this.nonsense || depth > 6) return pick(random, ODD);
    if (shape.const !== undefined) return shape.const;
    if (shape.enum !== undefined) return pick(random, shape.enum);
    if (shape.oneOf !== undefined) return this.value(pick(random, shape.oneOf), key, depth + 1);
    const { minimum = 0, maximum = 10 } = shape;
    switch (shape.type) {
      case 'boolean':
        return random() < 0.5;
      case 'integer':
        return Math.floor(minimum + random() * Math.min(1e5, maximum - minimum));
      case 'number':
        return random();
      case 'string':
        return pick(random, TEXTS[key] ?? ['kitchen-1', 'a', 'b']);
      case 'array':
        return Array.from({ length: Math.floor(random() * 4) }, () => this.value(shape.items ?? {}, key, depth + 1));
      default:
        return this.object(shape, depth);
    }
  }

  private object(shape: SettingShape, depth: number): unknown {
    const { random } = this;
    const chosen = keysOf(shape).filter((key) => shape.required?.includes(key) || random() < 0.2);
    const result = new Map(chosen.map((key) => [key, this.value(shape.properties?.[key] ?? {}, key, depth + 1)]));
    if (typeof shape.additionalProperties === 'object') {
      const ids = ['front', ...(random() < this.nonsense * 2 ? [pick(random, KEYS)] : [])];
      for (const id of ids) result.set(id, this.value(shape.additionalProperties, id, depth + 1));
    }
    if (random() < this.nonsense) result.set(pick(random, KEYS), pick(random, ODD));
    return Object.fromEntries(result);
  }
}

/** The configuration, or the issues; anything else fails the test. */
async function outcome(what: string, work: () => Promise<LoadedConfig> | LoadedConfig): Promise<LoadedConfig | null> {
  try {
    const loaded = await work();
    expect(configSchema.safeParse(loaded.config).success, what).toBe(true);
    return loaded;
  } catch (error) {
    if (!(error instanceof MiphaError)) throw new Error(what, { cause: error });
    if (error.code !== 'ERR_CONFIG') throw new Error(what, { cause: error });
    const issues = error.details.issues as ConfigIssue[];
    expect(issues.length, what).toBeGreaterThan(0);
    for (const { path, expected, received, origin } of issues) {
      expect([typeof path, typeof origin], what).toEqual(['string', 'string']);
      expect(expected.length * received.length, what).toBeGreaterThan(0);
      expect(expected, what).not.toMatch(/undefined|\[object/);
    }
    return null;
  }
}

describe('random configurations', () => {
  it('are valid, or refused with their issues', async () => {
    const file = join(folder, 'random.yaml');
    let [valid, refused] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = generator(seed);
      const values = new Maker(random, seed % 2 === 0 ? 0 : 0.04).value(configShape());
      const env =
        random() < 0.3 ? { [`MIPHA_CONFIG_${pick(random, ['NODE', 'MQTT__URL', 'CAMERAS__FRONT__URI', 'X__Y'])}`]: String(pick(random, ODD)) } : {};
      const flags = random() < 0.3 ? [[pick(random, ['node', 'http.port', 'watches.x', '..', 'log']), String(pick(random, ODD))] as const] : [];
      await writeFile(file, stringify(values));
      const loaded = await outcome(`seed ${seed}`, () => loadConfig({ file, env, flags, checkFiles: false }));
      if (loaded === null) refused++;
      else valid++;
    }
    expect(Math.min(valid, refused)).toBeGreaterThan(SEEDS / 10); // the generator reaches both sides
  });

  it('as bytes: cut, flipped and spliced text of a right one', async () => {
    const file = join(folder, 'bytes.yaml');
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = generator(seed);
      let text = example;
      for (let n = 1 + Math.floor(random() * 5); n > 0; n--) {
        const at = Math.floor(random() * text.length);
        const insert = pick(random, [
          '',
          ' ',
          '\n',
          ':',
          '- ',
          '{',
          ']',
          '"',
          '*a',
          '&a ',
          '!!',
          '\t',
          '\0',
          '?',
          '%',
          '|',
          'é',
          '\u2028',
          '---\n',
          '<<: ',
        ]);
        text = text.slice(0, at) + insert + text.slice(at + Math.floor(random() * 4));
      }
      await writeFile(file, text);
      await outcome(`seed ${seed}`, () => loadConfig({ file, env: {}, checkFiles: false }));
    }
  });

  it('as patches of a running one', async () => {
    const file = join(folder, 'right.yaml');
    await writeFile(file, example);
    const start = await loadConfig({ file, env: {}, checkFiles: false });
    let current = start;
    let applied = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = generator(seed);
      const whole = new Maker(random, seed % 2 === 0 ? 0 : 0.04).value(configShape());
      const patch = Object.fromEntries(Object.entries(whole ?? {}).filter(() => random() < 0.3)) as ConfigInput;
      const next = await outcome(`seed ${seed}`, () => mergeOptions(current, patch));
      if (next === null) continue;
      applied++;
      const { changed, restart } = diffConfig(current.config, next.config);
      expect(changed).toEqual(expect.arrayContaining([...restart]));
      const mixed = inForce(current.config, next.config);
      expect(configSchema.safeParse(mixed).success, `seed ${seed}`).toBe(true);
      expect(diffConfig(mixed, next.config).changed, `seed ${seed}`).toEqual(restart);
      const overrides = differenceOf(start.config, next.config);
      expect(withOverrides(start, JSON.parse(JSON.stringify(overrides)), 'x'), `seed ${seed}`).toMatchObject({ config: next.config, unfit: {} });
      const same = differenceOf(start.config, withOverrides(start, dropOverrides(overrides).rest, 'x').config);
      expect(same, `seed ${seed}`).toEqual({});
      current = next;
    }
    expect(applied).toBeGreaterThan(SEEDS / 10);
    for (const key of ['base', 'node', 'mqtt', 'http'] as const) {
      const local = ({ keepalive_s: _, ...rest }: Record<string, unknown>) => rest;
      const [before, after] = [start.config[key], current.config[key]];
      if (typeof before === 'object' && typeof after === 'object') expect(local(after)).toEqual(local(before));
      else expect(after).toBe(before);
    }
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });
});
