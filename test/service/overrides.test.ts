/** What was changed over MQTT, over a file that goes on being edited. */
import { describe, expect, it, vi } from 'vitest';
import { Changer } from '../../src/service/changer.js';
import { mergeOptions, replaceWatch } from '../../src/service/config/change.js';
import type { ConfigInput, LoadedConfig } from '../../src/service/config/config.js';
import { loadConfig } from '../../src/service/config/config.js';
import { conflictsOf, differenceOf, dropOverrides, overridePaths, withOverrides } from '../../src/service/config/overrides.js';
import { settingsOf } from '../../src/service/config/settings.js';
import { modelProver } from '../../src/service/model/model.js';
import { StateDir } from '../../src/service/state/state-dir.js';
import { watchSpecSchema } from '../../src/watch/spec.js';
import { NANO } from '../support/nano.js';

/** A configuration from assignments, as an operator edits it. */
async function file(settings: Record<string, string> = {}): Promise<LoadedConfig> {
  const all = {
    node: 'n',
    'cameras.front.uri': 'synthetic://kitchen',
    'watches.door.camera': 'front',
    'watches.door.question': 'Is the door open?',
    'watches.door.interval_ms': '500',
    ...settings,
  };
  return await loadConfig({ env: {}, flags: Object.entries(all) });
}

const spec = (more: object = {}) => watchSpecSchema.parse({ camera: 'front', question: 'Is the door open?', interval_ms: 500, ...more });
const apply = async (settings: Record<string, string>, overrides: ConfigInput) =>
  withOverrides(await file(settings), overrides, 'state/overrides.json');

describe('overrides', () => {
  it('are the changed keys and nothing else', async () => {
    const base = await file();
    const between = (wanted: LoadedConfig) => differenceOf(base.config, wanted.config);
    expect(between(mergeOptions(base, { watches: { door: { enabled: false } } }))).toEqual({ watches: { door: { enabled: false } } });
    expect(between(mergeOptions(base, { log: { level: 'info' } }))).toEqual({});
    expect(between(mergeOptions(base, { log: { level: 'debug' }, model: { threads: 2 } }))).toEqual({
      log: { level: 'debug' },
      model: { threads: 2 },
    });
    expect(between(replaceWatch(base, 'door', spec({ ttl_ms: 60_000 })))).toEqual({ watches: { door: { ttl_ms: 60_000 } } });
    expect(between(replaceWatch(base, 'door', spec()))).toEqual({});
    expect(between(replaceWatch(base, 'door', null))).toEqual({ watches: { door: null } });
    expect(between(replaceWatch(base, 'lamp', spec()))).toEqual({ watches: { lamp: spec() } });
    const cropped = await file({ 'watches.door.crop.x': '0.5', 'watches.door.crop.width': '0.5' });
    expect(differenceOf(cropped.config, replaceWatch(cropped, 'door', spec()).config)).toEqual({ watches: { door: { crop: null } } });
    const choice = { type: 'choice', choices: ['a', 'b'] };
    expect(between(replaceWatch(base, 'door', spec({ answer: choice })))).toEqual({ watches: { door: { answer: choice } } });
  });

  it('leave all else to the file, which may be edited', async () => {
    const { config, warnings } = await apply(
      { 'watches.door.question': 'Is the gate open?', 'watches.door.ttl_ms': '60000' },
      { watches: { door: { enabled: false } } },
    );
    expect(config.watches.door).toMatchObject({ question: 'Is the gate open?', ttl_ms: 60_000, enabled: false, interval_ms: 500 });
    expect(warnings).toEqual([]);
  });

  it('stand or fall one by one when the file has moved on, are kept all the same, and come back with it', async () => {
    const overrides = {
      log: { level: 'debug' },
      requests: { queue: 0 },
      cameras: { front: { enabled: false }, roof: { enabled: false } },
      watches: { lamp: spec(), cat: spec({ camera: 'roof' }), door: { interval_ms: 1, ttl_ms: 11_000 } },
    };
    const { config, warnings, unfit } = await apply({}, overrides);
    expect(config).toMatchObject({ log: { level: 'debug' }, cameras: { front: { enabled: false } }, watches: { door: { interval_ms: 1 } } });
    expect(Object.keys(config.watches)).toEqual(['door', 'lamp']);
    expect(unfit).toEqual({ requests: { queue: 0 }, cameras: { roof: { enabled: false } }, watches: { cat: overrides.watches.cat } });
    expect(warnings).toEqual([
      expect.stringMatching(/^The override requests\.queue \(state\/overrides\.json\) does not fit the configuration and is not in force: /),
      expect.stringMatching(/^The override cameras\.roof\.enabled /),
      expect.stringMatching(/^The override watches\.cat /),
    ]);
    expect((await apply({ 'cameras.roof.uri': 'synthetic://kitchen' }, overrides)).config.watches.cat?.camera).toBe('roof');
  });

  it('of watches that name each other fit in any order, beside others that do not', async () => {
    const overrides = {
      watches: { a: spec({ compare: { event: 'b' } }), b: spec({ compare: { event: 'c' } }), c: spec(), d: spec({ compare: { event: 'e' } }) },
    };
    const { config, warnings, unfit } = await apply({}, overrides);
    expect(Object.keys(config.watches).sort()).toEqual(['a', 'b', 'c', 'door']);
    expect(unfit).toEqual({ watches: { d: overrides.watches.d } });
    expect(warnings).toEqual([expect.stringMatching(/^The override watches\.d .*expected a watch of this configuration/)]);
  });

  it.each([
    { mqtt: { url: 'mqtt://127.0.0.1:1' } },
    { mqtt: { discovery: { prefix: 'x' } } },
    { cameras: { front: { uri: 'synthetic://kitchen?cup=one' } } },
    { cameras: { front: null } },
    { requests: { closed: ['set'] } },
    { node: 'other' },
    JSON.parse('{"__proto__": {"a": 1}}'),
    { watches: 7 },
    { logg: {} },
  ])('in an edited state folder do nothing that could not be done over MQTT: %j', async (overrides) => {
    const { config, warnings } = await apply({}, overrides as ConfigInput);
    expect(config).toEqual((await file()).config);
    expect(warnings).toHaveLength(1);
  });

  it('are named with their origin, and so is what they hide', async () => {
    const overrides = { log: { level: 'debug' }, watches: { door: { question: 'Why?', interval_ms: 5, crop: null }, lamp: spec() } };
    const loaded = await apply({ 'log.level': 'warn', 'watches.door.crop.width': '0.5' }, overrides);
    expect(overridePaths(overrides)).toEqual(['log.level', 'watches.door.question', 'watches.door.interval_ms', 'watches.door.crop', 'watches.lamp']);
    expect(conflictsOf(loaded)).toEqual([
      expect.stringMatching(/^log\.level: --set log\.level says "warn", the override "debug" is in force; drop it with /),
      expect.stringMatching(/^watches\.door\.question: --set watches\.door\.question says another text, the override is in force; drop it with /),
      expect.stringMatching(/^watches\.door\.interval_ms: .* says the number 500, the override the number 5 is in force; /),
      expect.stringMatching(/^watches\.door\.crop: .* says an object, the override removes it; /),
    ]);
    expect(conflictsOf(await apply({ 'log.level': 'debug' }, { log: { level: 'debug' } }))).toEqual([]);
    const rows = settingsOf(loaded, { redacted: true });
    const source = 'state/overrides.json';
    expect(rows).toContainEqual({ path: 'log.level', value: 'debug', origin: 'mqtt', source, over: { value: 'warn', source: '--set log.level' } });
    expect(rows).toContainEqual({ path: 'watches.lamp.question', value: 'Is the door open?', origin: 'mqtt', source });
    expect(rows).toContainEqual({ path: 'watches.door.camera', value: 'front', origin: 'flag', source: '--set watches.door.camera' });
    expect(rows.at(-1)).toMatchObject({ path: 'watches.door.crop', value: null, origin: 'mqtt', over: { value: { width: 0.5 } } });
  });

  it('are dropped by path, by what holds it, or all', () => {
    const overrides = { log: { level: 'debug', mqtt: true }, watches: { door: { interval_ms: 5 }, lamp: spec(), old: null } };
    expect(dropOverrides(overrides, ['log.level', 'watches.lamp'])).toEqual({
      rest: { log: { mqtt: true }, watches: { door: { interval_ms: 5 }, old: null } },
      dropped: ['log.level', 'watches.lamp'],
    });
    expect(dropOverrides(overrides, ['watches'])).toEqual({
      rest: { log: overrides.log },
      dropped: ['watches.door.interval_ms', 'watches.lamp', 'watches.old'],
    });
    expect(dropOverrides(overrides)).toMatchObject({ rest: {} });
    expect(dropOverrides({})).toEqual({ rest: {}, dropped: [] });
    expect(() => dropOverrides(overrides, ['log.levl'])).toThrow(/log\.levl.*expected an override \(log\.level, .*did you mean log\.level/);
    expect(() => dropOverrides(overrides, ['log.level', 'watch'])).toThrow(/watch/);
    expect(() => dropOverrides({}, ['constructor'])).toThrow(/there is none/);
  });
});

describe('names that every object has, or that mean something elsewhere', () => {
  it.each(['constructor', 'type', 'camera', 'answer'])('are good for cameras and watches: %s', async (id) => {
    const base = await file({ [`cameras.${id}.uri`]: 'synthetic://kitchen', [`watches.${id}.camera`]: id, [`watches.${id}.question`]: 'Why?' });
    const next = mergeOptions(base, { watches: { [id]: { enabled: false } }, cameras: { [id]: { enabled: false } } });
    expect(Object.keys(next.config.watches).sort()).toEqual(['door', id].sort());
    expect(next.config.watches[id]).toMatchObject({ enabled: false, question: 'Why?' });
    expect(next.config.watches.door?.enabled).toBe(true);
    const overrides = differenceOf(base.config, next.config);
    expect(overrides).toEqual({ cameras: { [id]: { enabled: false } }, watches: { [id]: { enabled: false } } });
    expect(withOverrides(base, overrides, 'x').config).toEqual(next.config);
    expect(withOverrides(base, { watches: { [id]: null } }, 'x').config.watches).toEqual({ door: base.config.watches.door });
  });
});

describe('changes of a running node', () => {
  async function changer(settings: Record<string, string> = {}, kept: ConfigInput = {}) {
    const base = await file(settings);
    const stateDir = new StateDir(undefined);
    await stateDir.keep(kept);
    let next = base;
    const refused = new Set<string>();
    const made = new Changer({
      base,
      loaded: withOverrides(base, kept, 'MQTT'),
      stateDir,
      load: async () => next,
      proveModel: async ({ backend }) => {
        if (refused.has(backend)) throw new Error('no such library');
      },
      apply: async () => {},
      taken: () => {},
    });
    const edit = async (edited: Record<string, string>) => {
      next = await file({ ...settings, ...edited });
      return await made.reload();
    };
    return { made, stateDir, edit, refused };
  }

  it('keep the difference to the file, one way or the other', async () => {
    const { made, stateDir, edit } = await changer();
    expect(await made.putWatch('door', spec({ interval_ms: 7 }))).toMatchObject({ created: false });
    expect(await made.putWatch('constructor', spec())).toMatchObject({ created: true });
    expect(await made.putWatch('constructor', spec())).toMatchObject({ created: false });
    await made.patch({ log: { level: 'debug' } });
    expect(stateDir.overrides).toEqual({ log: { level: 'debug' }, watches: { door: { interval_ms: 7 }, constructor: spec() } });
    await edit({ 'watches.door.question': 'Is the gate open?' });
    expect(made.config.watches.door).toMatchObject({ question: 'Is the gate open?', interval_ms: 7 });
    await made.deleteWatch('door');
    await made.deleteWatch('constructor');
    expect(stateDir.overrides).toEqual({ log: { level: 'debug' }, watches: { door: null } });
    await edit({ 'watches.door.question': 'Is the hatch open?' });
    expect(made.config.watches).toEqual({});
    await made.putWatch('door', spec({ question: 'Is the hatch open?' }));
    await made.patch({ log: { level: 'info' } });
    expect(stateDir.overrides).toEqual({});
  });

  it('are dropped, and what they hid is in force again', async () => {
    const { made, stateDir, edit } = await changer();
    await made.patch({ log: { level: 'debug' }, watches: { door: { interval_ms: 7, question: 'Why?' } }, model: { threads: 3 } });
    await made.putWatch('lamp', spec());
    await edit({ 'watches.door.interval_ms': '900' });
    expect(await made.drop(['watches.door.interval_ms', 'model'])).toEqual({
      dropped: ['model.threads', 'watches.door.interval_ms'],
      restart: [],
      persisted: false,
    });
    expect(made.config.watches.door).toMatchObject({ interval_ms: 900, question: 'Why?' });
    await expect(made.drop(['watches.lamp.camera'])).rejects.toThrow(/do not fit/);
    await expect(made.drop(['http'])).rejects.toThrow(/expected an override/);
    expect(stateDir.overrides).toMatchObject({ watches: { lamp: { camera: 'front' } } });
    expect((await made.drop()).dropped).toEqual(['watches.door.question', 'watches.lamp', 'log.level']);
    expect(made.config).toEqual((await file({ 'watches.door.interval_ms': '900' })).config);
    expect(await made.drop()).toMatchObject({ dropped: [] });
  });

  it('are dropped where free questions are forbidden, for the question of the file is the owner’s', async () => {
    const { made } = await changer({ 'requests.queries': 'false' }, { watches: { door: { question: 'Kept from before?' } } });
    expect(made.config.watches.door?.question).toBe('Kept from before?');
    await expect(made.patch({ watches: { door: { question: 'Free?' } } })).rejects.toMatchObject({
      details: { forbidden: ['watches.door.question'] },
    });
    await made.patch({ watches: { door: { question: 'Is the door open?' } } });
    expect(made.overrides).toEqual([]);
  });

  it('keep what does not fit now, unless it is changed anew', async () => {
    const cat = spec({ camera: 'roof' });
    const { made, stateDir, edit } = await changer({}, { watches: { cat, dog: cat }, cameras: { roof: { enabled: false } } });
    await made.patch({ watches: { door: { interval_ms: 7 } } });
    expect(stateDir.overrides).toEqual({ watches: { door: { interval_ms: 7 }, cat, dog: cat }, cameras: { roof: { enabled: false } } });
    await made.putWatch('dog', spec());
    expect(stateDir.overrides).toMatchObject({ watches: { cat: { camera: 'roof' }, dog: { camera: 'front' } } });
    await edit({ 'cameras.roof.uri': 'synthetic://kitchen' });
    expect(made.config.cameras.roof?.enabled).toBe(false);
    expect(made.config.watches.cat?.camera).toBe('roof');
  });

  it('are refused, and not kept, when this machine cannot run the model so', async () => {
    const { made, stateDir, refused } = await changer();
    refused.add('tensorrt');
    await expect(made.patch({ model: { backend: 'tensorrt' } })).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringMatching(/model\.backend: expected a backend that this machine has, received tensorrt \(no such library\)/),
    });
    expect(stateDir.overrides).toEqual({});
    await made.patch({ model: { backend: 'cpu' } });
    expect(stateDir.overrides).toEqual({ model: { backend: 'cpu' } });
    refused.add('cpu');
    await made.patch({ log: { level: 'debug' } }); // does not touch the model
  });
});

describe('a model that was asked for over MQTT', () => {
  it('is proven without being loaded: the backend is there, or the error says what is missing', async () => {
    const prove = modelProver(NANO);
    for (const backend of ['auto', 'cpu'] as const) await prove({ backend });
    vi.stubEnv('MIPHA_TENSORRT', '/nonexistent/mipha_tensorrt.so');
    await expect(prove({ backend: 'tensorrt' })).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
      message: expect.stringContaining('/nonexistent/mipha_tensorrt.so'),
    });
    vi.unstubAllEnvs();
  });
});
