import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Discovery, type DiscoveryLink } from '../../src/mqtt/discovery.js';
import { type Component, type DiscoveryNode, discoveryPayloads } from '../../src/mqtt/discovery-payload.js';
import { type Result, stateOf, type WatchEvent } from '../../src/mqtt/messages.js';
import type { Incoming } from '../../src/mqtt/wire.js';
import type { AnswerSpec } from '../../src/watch/spec.js';
import { attributesIn, eventIn, stateIn, typedInto, updateIn } from '../support/home-assistant.js';
import { startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { linkTo, observe, topics } from './nodes.js';

const NODE: DiscoveryNode = {
  base: 'mipha',
  node: 'node-1',
  topics,
  prefix: 'homeassistant',
  version: '1.2.3',
  model: 'mipha-nano',
  updates: true,
  cameras: [
    { id: 'front', images: true },
    { id: 'back', images: false },
  ],
  watches: [
    { id: 'door-open', camera: 'front', answer: { type: 'boolean' }, ttlMs: 30_500 },
    { id: 'mood', camera: 'front', answer: { type: 'choice', choices: ['calm', 'busy'] }, ttlMs: 1000 },
    { id: 'people', camera: 'back', answer: { type: 'number', min: 0, max: 9, decimals: 0 }, ttlMs: 1000 },
    { id: 'scene', camera: 'back', answer: { type: 'text', max_chars: 255 }, ttlMs: 1000 },
  ],
};
const FRONT = 'homeassistant/device/mipha_node-1_front/config';
const BACK = 'homeassistant/device/mipha_node-1_back/config';
const ROOT = 'homeassistant/device/mipha_node-1/config';
const status = (payload: string): Incoming => ({ topic: 'homeassistant/status', payload: Buffer.from(payload), retained: false, duplicate: false });

/** Options each platform needs, and all that we use of those it knows. */
const COMMON = ['platform', 'name', 'unique_id', 'availability', 'availability_mode', 'entity_category', 'enabled_by_default', 'device_class'];
const PLATFORMS: Record<string, { needs: string[]; knows: string[] }> = {
  binary_sensor: { needs: ['state_topic'], knows: ['value_template', 'json_attributes_topic', 'json_attributes_template', 'expire_after'] },
  sensor: {
    needs: ['state_topic'],
    knows: [
      'value_template',
      'json_attributes_topic',
      'json_attributes_template',
      'expire_after',
      'options',
      'state_class',
      'unit_of_measurement',
      'suggested_display_precision',
    ],
  },
  event: { needs: ['state_topic', 'event_types'], knows: ['value_template'] },
  switch: { needs: ['command_topic'], knows: ['state_topic'] },
  number: { needs: ['command_topic'], knows: ['state_topic', 'min', 'max', 'step', 'mode', 'unit_of_measurement'] },
  text: { needs: ['command_topic'], knows: ['state_topic', 'min', 'max', 'value_template', 'command_template'] },
  button: { needs: ['command_topic'], knows: ['payload_press'] },
  image: { needs: ['image_topic'], knows: ['content_type'] },
  update: { needs: ['state_topic', 'command_topic', 'payload_install'], knows: ['value_template'] },
};

describe('what the configuration closes', () => {
  const kinds = (closed: string[]) => {
    const components = [...discoveryPayloads({ ...NODE, closed }).values()].flatMap((payload) => Object.values(payload.components));
    return new Set(
      components.filter(({ command_topic }) => command_topic !== undefined).map(({ platform, device_class }) => device_class ?? platform),
    );
  };

  it('gets no entity', () => {
    expect([...kinds([])]).toEqual(expect.arrayContaining(['restart', 'switch', 'text']));
    for (const platform of ['switch', 'text']) {
      expect(kinds(['options'])).toContain(platform);
      expect(kinds(['set'])).not.toContain(platform);
    }
    expect(kinds(['set'])).toContain('restart');
    expect(kinds(['restart'])).not.toContain('restart');
    expect(kinds([])).toContain('update');
    expect(kinds(['model/install'])).not.toContain('update');
    const sensors = discoveryPayloads({ ...NODE, closed: ['set', 'restart'] }).get(FRONT)?.components ?? {};
    expect(sensors['door-open']).toMatchObject({ platform: 'binary_sensor' });
  });
});

describe('the model as an update', () => {
  const update = discoveryPayloads(NODE).get(ROOT)?.components.model as Component;
  const state = (more: object) => ({
    ...{ v: 1, phase: 'idle', percent: null, incoming: null, previous: null, latest: null, last: null },
    ...{ installed: { id: 'mipha-3b', rev: 'abc', release: '2026.11.1', from: 'installed' } },
    ...more,
  });

  it('says what is installed, what would be, and how far it is, in nothing but the fields that Home Assistant takes', () => {
    expect(updateIn(update, JSON.stringify(state({})))).toEqual({
      ...{ installed_version: '2026.11.1', latest_version: '2026.11.1', title: 'mipha-3b', in_progress: false, update_percentage: null },
    });
    const latest = { release: '2026.12.1', model: 'mipha-3b', source: 'new', bytes: 1 };
    const fetching = state({ phase: 'fetching', percent: 40, incoming: '2026.12.1', latest });
    expect(updateIn(update, JSON.stringify(fetching))).toMatchObject({ latest_version: '2026.12.1', in_progress: true, update_percentage: 40 });
    expect(updateIn(update, JSON.stringify(state({ phase: 'trial' })))).toMatchObject({ in_progress: false });
    expect(updateIn(update, '')).toBeNull();
  });

  it('is not there where nothing can be installed', () => {
    expect(discoveryPayloads({ ...NODE, updates: false }).get(ROOT)?.components.model).toBeUndefined();
  });
});

describe('discovery payloads', () => {
  const payloads = discoveryPayloads(NODE);
  const components = (topic: string) => payloads.get(topic)?.components as Record<string, Component>;
  const all = [...payloads.values()].flatMap((payload) => Object.entries(payload.components));

  it('are one per device: the node, and each camera behind it', () => {
    expect([...payloads.keys()]).toEqual([ROOT, FRONT, BACK]);
    expect(payloads.get(ROOT)).toMatchObject({
      device: { identifiers: ['mipha_node-1'], model: 'mipha-nano', sw_version: '1.2.3' },
      origin: { name: 'mipha-edge', sw_version: '1.2.3' },
    });
    expect(payloads.get(FRONT)?.device).toMatchObject({ identifiers: ['mipha_node-1_front'], via_device: 'mipha_node-1' });
  });

  it('use only options that the platforms know, have those they need, and no unique_id twice', () => {
    for (const [key, component] of all) {
      const { needs, knows } = PLATFORMS[component.platform] as { needs: string[]; knows: string[] };
      expect(
        Object.keys(component).filter((name) => ![...COMMON, ...needs, ...knows].includes(name)),
        key,
      ).toEqual([]);
      expect(
        [...needs, 'unique_id', 'name'].filter((name) => component[name] === undefined),
        key,
      ).toEqual([]);
    }
    const ids = all.map(([, { unique_id }]) => unique_id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('map the answer types to platforms', () => {
    expect(components(FRONT)['door-open']).toMatchObject({
      platform: 'binary_sensor',
      state_topic: 'mipha/v1/node-1/watch/door-open/state',
      json_attributes_topic: 'mipha/v1/node-1/watch/door-open/result',
      expire_after: 31,
      availability_mode: 'all',
    });
    expect(components(FRONT).mood).toMatchObject({ platform: 'sensor', device_class: 'enum', options: ['calm', 'busy'] });
    expect(components(BACK).people).toMatchObject({ platform: 'sensor', state_class: 'measurement', suggested_display_precision: 0 });
    expect(components(BACK).scene).toMatchObject({ platform: 'sensor' });
    expect(components(FRONT)['door-open_event']).toMatchObject({ platform: 'event', event_types: ['triggered', 'cleared', 'reminder', 'error'] });
    expect(components(BACK).people_event).toMatchObject({ event_types: ['changed', 'reminder', 'error'] });
  });

  it('take the interval in seconds, as its topic does', () => {
    expect(components(FRONT)['door-open_interval']).toMatchObject({ platform: 'number', unit_of_measurement: 's', max: 86_400 });
  });

  it('make a watch depend on node and camera, its settings on the node alone', () => {
    const topicsOf = (component: Component | undefined) => ((component?.availability ?? []) as { topic: string }[]).map(({ topic }) => topic);
    expect(topicsOf(components(FRONT)['door-open'])).toEqual(['mipha/v1/node-1/availability', 'mipha/v1/node-1/camera/front/status']);
    for (const setting of ['enabled', 'interval', 'prompt']) {
      expect(topicsOf(components(FRONT)[`door-open_${setting}`])).toEqual(['mipha/v1/node-1/availability']);
      const command = String(components(FRONT)[`door-open_${setting}`]?.command_topic);
      expect(topics.parse(command)).toEqual({ kind: 'watch-set', watch: 'door-open', setting });
    }
    expect(topics.parse(String(components(FRONT)._enabled?.command_topic))).toEqual({ kind: 'camera-set', camera: 'front' });
    expect(topics.parse(String(components(ROOT).restart?.command_topic))).toMatchObject({ kind: 'request', verb: 'restart' });
  });

  it('show pictures only where they are permitted, and of the diagnostics only the latency', () => {
    expect(components(FRONT)._image).toMatchObject({ platform: 'image', content_type: 'image/jpeg' });
    expect(components(FRONT)._snapshot).toMatchObject({
      platform: 'button',
      command_topic: topics.request('snapshot'),
      payload_press: '{"camera":"front"}',
    });
    expect([components(BACK)._image, components(BACK)._snapshot]).toEqual([undefined, undefined]);
    const pictures = all.filter(([key]) => key.endsWith('_picture')).map(([key, { platform, image_topic }]) => [key, platform, image_topic]);
    expect(pictures).toEqual(['door-open', 'mood'].map((watch) => [`${watch}_picture`, 'image', topics.watch(watch, 'picture')]));
    const shown = all.filter(([, one]) => one.entity_category === 'diagnostic' && one.enabled_by_default !== false).map(([key]) => key);
    expect(shown).toEqual(['latency', 'problem']);
  });
});

describe('what Home Assistant shows', () => {
  /** The entity of a watch with this kind of answer. */
  const entity = (answer: AnswerSpec, key = 'w') => {
    const node = { ...NODE, watches: [{ id: 'w', camera: 'front', answer, ttlMs: 1000 }] };
    return discoveryPayloads(node).get(FRONT)?.components[key] as Component;
  };
  const onNode = (key: string) => discoveryPayloads(NODE).get(ROOT)?.components[key] as Component;
  const NO_ANSWERS = ['unknown', 'unavailable'];
  const choice = (...choices: string[]): AnswerSpec => ({ type: 'choice', choices });
  const text: AnswerSpec = { type: 'text', max_chars: 1000 };

  it('is unknown when nothing is known, for every kind of answer', () => {
    for (const answer of [{ type: 'boolean' }, choice('none', 'person'), { type: 'number', min: 0, max: 9, decimals: 0 }, text] as AnswerSpec[]) {
      expect(stateIn(entity(answer), stateOf(null)), answer.type).toBe('unknown');
    }
  });

  it('is on and off, and every number', () => {
    expect([true, false].map((value) => stateIn(entity({ type: 'boolean' }), stateOf(value)))).toEqual(['on', 'off']);
    const number: AnswerSpec = { type: 'number', min: -1, max: 1, decimals: 6 };
    for (const value of [0, -0, -1, 0.5, 0.000001]) expect(Number(stateIn(entity(number), stateOf(value)))).toBe(value === 0 ? 0 : value);
  });

  it.each([
    [['none', 'person']],
    [['None', 'none', 'NONE']],
    [['unknown', 'Unknown', 'UNKNOWN', 'unavailable', 'Unavailable']],
    [['None', '"None"', '""None""', '"None', 'unknown', '"unknown"']],
    [['ON', 'OFF', 'True', 'null', '0', '{}', '[]', "it's", '{{ value }}', '\\']],
  ])('of the choices %j is an answer for each, none like another, and all are among the options', (choices) => {
    const component = entity(choice(...choices));
    const states = choices.map((one) => stateIn(component, stateOf(one)));
    expect(component.options).toEqual(states);
    expect(new Set(states).size).toBe(choices.length);
    expect(states.filter((state) => state === null || NO_ANSWERS.includes(state.toLowerCase()))).toEqual([]);
  });

  it('of a text is never taken for none, and fits', () => {
    const shown = (value: string) => stateIn(entity(text), stateOf(value));
    expect(['none', 'Nobody.', 'None', ' None ', 'unknown', 'Unavailable'].map(shown)).toEqual([
      'none',
      'Nobody.',
      '"None"',
      '"None"',
      '"unknown"',
      '"Unavailable"',
    ]);
    for (const value of ['x'.repeat(1000), '👨‍👩‍👧'.repeat(100), `${'x'.repeat(254)}😀`]) expect(value.startsWith(shown(value) as string)).toBe(true);
    expect(shown(' \n ')).toBe('unknown');
  });

  it.each(['Is the door open?', 'None', '"None"', 'unknown', 'Unavailable', '"unknown', '""', "it's {{ odd }}"])(
    'as the question %j is what was asked, and typed as it is shown it stays the same',
    (question) => {
      const component = entity(text, 'w_prompt');
      const state = stateIn(component, question) as string;
      expect(NO_ANSWERS).not.toContain(state.toLowerCase());
      expect(state).not.toBe('None');
      expect(typedInto(component, state)).toBe(question);
      expect(typedInto(component, question)).toBe(question.replace(/^"(None|unknown)"$/, '$1'));
    },
  );

  const result = (changes: Partial<Result> = {}) =>
    JSON.stringify({
      id: 'r',
      seq: 7,
      ts: 't',
      status: 'ok',
      confidence: 0.98765,
      answer: 'a'.repeat(1000),
      timing: { total_ms: 3 },
      error: null,
      ...changes,
    });

  it('beside a state are few attributes, which stay the same while the answers do', () => {
    const door = entity({ type: 'boolean' });
    expect(attributesIn(door, result())).toEqual({ status: 'ok', confidence: 0.99, error: null });
    expect(attributesIn(door, result({ id: 's', seq: 8, ts: 'u', confidence: 0.9899 }))).toEqual(attributesIn(door, result()));
    expect(attributesIn(door, result({ status: 'stale', confidence: null }))).toEqual({ status: 'stale', confidence: null, error: null });
    const failed: Result['error'] = { code: 'TIMEOUT', message: 'm', retryable: true, level: 'WARNING', refs: [] };
    expect(attributesIn(door, result({ status: 'error', error: failed }))).toMatchObject({ error: 'TIMEOUT' });
    expect(attributesIn(entity(text), result())).toMatchObject({ answer: 'a'.repeat(1000) });
    expect(attributesIn(door, '')).toEqual({}); // nothing known: no warning in its log
  });

  it('as events fires what has just happened, never what is replayed', () => {
    const event = (changes: Partial<WatchEvent> = {}) =>
      JSON.stringify({
        id: 'e',
        ts: 't',
        event_type: 'triggered',
        value: true,
        previous: false,
        confidence: 1,
        frame: { id: 'f' },
        picture: null,
        replayed: false,
        ...changes,
      });
    const door = entity({ type: 'boolean' }, 'w_event');
    expect(eventIn(door, event())).toEqual({ event_type: 'triggered', value: true, previous: false, confidence: 1, ts: 't', picture: null });
    expect(eventIn(door, event({ picture: { seq: 0 } as WatchEvent['picture'] }))).toMatchObject({ picture: 0 });
    expect(eventIn(door, event({ replayed: true }))).toBeNull();
    expect(eventIn(door, '')).toBeNull();
  });

  it('of the node are its alerts, and figures that may be missing', () => {
    const health = (changes: object = {}) => JSON.stringify({ errors: [], latency_ms: null, temperature_c: {}, cameras: {}, ...changes });
    const errors = [{ id: 'config', level: 'URGENT', message: 'the new configuration is refused' }];
    expect([health(), health({ errors })].map((payload) => stateIn(onNode('problem'), payload))).toEqual(['off', 'on']);
    expect(attributesIn(onNode('problem'), health({ errors }))).toEqual({ alerts: ['the new configuration is refused'] });
    expect(stateIn(onNode('latency'), health())).toBe('unknown');
    expect(stateIn(onNode('latency'), health({ latency_ms: { p95: 12.5 } }))).toBe('12.5');
    expect(stateIn(onNode('temperature'), health({ temperature_c: { cpu: 41, gpu: 45.5 } }))).toBe('45.5');
    const fps = discoveryPayloads(NODE).get(FRONT)?.components._fps as Component;
    expect(stateIn(fps, health())).toBe('unknown');
    expect(stateIn(fps, health({ cameras: { front: { fps: 9.94 } } }))).toBe('9.94');
  });

  it('of a camera is motion', () => {
    const motion = discoveryPayloads(NODE).get(FRONT)?.components._motion as Component;
    expect(motion).toMatchObject({ platform: 'binary_sensor', device_class: 'motion', state_topic: topics.camera('front', 'motion') });
    expect(['ON', 'OFF'].map((payload) => stateIn(motion, payload))).toEqual(['on', 'off']);
  });
});

describe('announcements', () => {
  class FakeLink implements DiscoveryLink {
    connected = true;
    readonly sent: [string, Record<string, Component> | null][] = [];
    restated = 0;
    readonly outbox = {
      state: (topic: string, payload: string | Buffer) => void this.sent.push([topic, JSON.parse(String(payload)).components]),
      forget: (topic: string) => void this.sent.push([topic, null]),
    };
    restate() {
      this.restated++;
    }
    last(topic: string) {
      return this.sent.findLast(([name]) => name === topic)?.[1];
    }
  }
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('take a removed watch back in two steps, and a removed camera in one', async () => {
    const link = new FakeLink();
    const discovery = new Discovery(link, 'homeassistant');
    discovery.announce(NODE);
    discovery.announce({ ...NODE, cameras: NODE.cameras.slice(0, 1), watches: NODE.watches.slice(0, 1) });
    expect(link.last(BACK)).toBeNull();
    expect(link.last(FRONT)).toMatchObject({ mood: { platform: 'sensor' }, mood_event: { platform: 'event' }, 'door-open': { name: 'door open' } });
    expect(link.last(FRONT)?.mood).toEqual({ platform: 'sensor' });
    link.connected = false;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(link.last(FRONT)?.mood).toBeDefined(); // it has not been out yet
    link.connected = true;
    await vi.advanceTimersByTimeAsync(15_000);
    expect(link.last(FRONT)?.mood).toBeUndefined();
    expect(link.last(FRONT)?.['door-open']).toBeDefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('take back a watch whose name every object has', () => {
    const link = new FakeLink();
    const discovery = new Discovery(link, 'homeassistant');
    const odd = { id: 'constructor', camera: 'front', answer: { type: 'boolean' as const }, ttlMs: 1000 };
    discovery.announce({ ...NODE, watches: [...NODE.watches, odd] });
    discovery.announce(NODE);
    discovery.stop();
    expect(Object.hasOwn(link.last(FRONT) ?? {}, 'constructor')).toBe(true);
    expect(link.last(FRONT)?.constructor).toEqual({ platform: 'binary_sensor' });
  });

  it('keep a removal standing when the next announcement follows at once, unless it brings the watch back', async () => {
    const link = new FakeLink();
    const discovery = new Discovery(link, 'homeassistant');
    discovery.announce(NODE);
    discovery.announce({ ...NODE, watches: NODE.watches.slice(1) });
    discovery.announce({ ...NODE, watches: NODE.watches.slice(1) });
    expect(link.last(FRONT)?.['door-open']).toEqual({ platform: 'binary_sensor' });
    discovery.announce(NODE);
    expect(link.last(FRONT)?.['door-open']).toMatchObject({ name: 'door open' });
    await vi.advanceTimersByTimeAsync(30_000);
    expect(link.last(FRONT)?.['door-open']).toMatchObject({ name: 'door open' });
    discovery.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('answer a birth once, after a time between 0 and 5 s', async () => {
    const link = new FakeLink();
    const discovery = new Discovery(link, 'homeassistant', () => 0.5);
    expect(discovery.handle({ ...status('online'), topic: 'elsewhere' })).toBe(false);
    expect(discovery.handle(status('offline'))).toBe(true);
    expect(discovery.handle(status('online'))).toBe(true);
    discovery.handle(status('online'));
    await vi.advanceTimersByTimeAsync(2499);
    expect(link.restated).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(link.restated).toBe(1);
    discovery.handle(status('online'));
    discovery.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(link.restated).toBe(1);
  });
});

describeWith(['mosquitto'], 'Home Assistant restarts', () => {
  it('and needs nothing: devices, states and availability come again after its birth', async () => {
    await using broker = await startMosquitto();
    const node = linkTo(broker.url, { subscriptions: ['homeassistant/status'] });
    const discovery = new Discovery(node, 'homeassistant', () => 0.1);
    node.on('message', (message) => discovery.handle(message));
    discovery.announce(NODE);
    node.outbox.state(topics.watch('door-open', 'state'), 'ON', 60);
    node.outbox.state(topics.camera('front', 'status'), 'online');
    await node.start();
    await using assistant = await observe(broker.url, ['homeassistant/device/#', 'mipha/#'], { live: true });
    await assistant.client.publishAsync('homeassistant/status', 'online', { qos: 1 });
    const expected = [ROOT, FRONT, BACK, topics.watch('door-open', 'state'), topics.camera('front', 'status'), topics.availability];
    await until('everything', () => expected.every((topic) => assistant.on(topic).length > 0), 6000);
    expect(assistant.on(topics.availability)).toEqual(['online']);
    discovery.stop();
    await node.stop(500);
  });
});
