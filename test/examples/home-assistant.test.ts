/** The automation of examples/ speaks of entities that a node of examples/config.yaml announces, and of attributes that they have. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Component, discoveryPayloads } from '../../src/mqtt/discovery-payload.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import { loadConfig } from '../../src/service/config/config.js';
import { ROOT } from '../cli/run.js';
import { eventIn } from '../support/home-assistant.js';

interface Automation {
  id: string;
  mode: string;
  triggers: { trigger: string; entity_id: string; not_from: string; not_to: string[] }[];
  conditions: { value_template: string }[];
  actions: unknown[];
}

const text = await readFile(join(ROOT, 'examples', 'home-assistant.yaml'), 'utf8');
const { automation } = parse(text) as { automation: Automation[] };
const { config } = await loadConfig({ file: join(ROOT, 'examples', 'config.yaml'), env: {} });

const payloads = (images: boolean) =>
  discoveryPayloads({
    base: config.base,
    node: config.node,
    topics: topicsOf(config.base, config.node),
    prefix: 'homeassistant',
    version: '1',
    cameras: Object.keys(config.cameras).map((id) => ({ id, images })),
    watches: Object.entries(config.watches).map(([id, { camera, answer, ttl_ms }]) => ({ id, camera, answer, ttlMs: ttl_ms })),
  });

/** As Home Assistant names entities of a device: both names in lower case, everything else than letters and digits an underscore. */
function entities(images = true): Map<string, Component> {
  const slug = (words: string) => words.toLowerCase().replace(/[^a-z0-9]+/g, '_');
  return new Map(
    [...payloads(images).values()].flatMap(({ device, components }) =>
      Object.values(components).map((component) => [`${component.platform}.${slug(`${device.name} ${component.name}`)}`, component] as const),
    ),
  );
}

const walk = (value: unknown, visit: (key: string, value: unknown) => void): void => {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    visit(key, inner);
    walk(inner, visit);
  }
};
const named = (key: string) => {
  const found: unknown[] = [];
  walk(automation, (name, value) => name === key && found.push(value));
  return found;
};

describe('examples/home-assistant.yaml', () => {
  it('names entities that exist, the picture only with images', () => {
    const known = entities();
    const used = [...text.matchAll(/\b(?:event|image|sensor|binary_sensor)\.kitchen_\w+/g)].map(([id]) => id);
    expect(new Set(used)).toEqual(new Set(['event.kitchen_1_kitchen_lamp_event', 'image.kitchen_1_kitchen_lamp_picture']));
    for (const id of used) expect([...known.keys()]).toContain(id);
    expect(known.get('image.kitchen_1_kitchen_lamp_picture')?.image_topic).toBe('mipha/v1/kitchen-1/watch/lamp/picture');
    expect([...entities(false).keys()]).not.toContain('image.kitchen_1_kitchen_lamp_picture');
    expect(named('entity_id').flat()).toEqual(expect.arrayContaining([...new Set(used)]));
  });

  it('reads attributes that the event has, and waits for a type that it has', () => {
    const entity = entities().get('event.kitchen_1_kitchen_lamp_event') as Component;
    const payload = { event_type: 'triggered', value: true, previous: false, confidence: 1, ts: 't', picture: { seq: 3 }, replayed: false };
    const attributes = eventIn(entity, JSON.stringify(payload)) ?? {};
    const read = [...text.matchAll(/to_state\.attributes\.(\w+)/g)].map(([, name]) => name as string);
    expect(new Set(read)).toEqual(new Set(['event_type', 'picture', 'ts']));
    for (const name of read) expect(Object.keys(attributes)).toContain(name);
    expect(attributes.picture).toBe(3);
    const [, type] = /event_type == '(\w+)'/.exec(automation[0]?.conditions[0]?.value_template ?? '') ?? [];
    expect(entity.event_types).toContain(type);
  });

  it('fires for what has just happened, once each, and sends a picture only with the event whose it is', () => {
    expect(automation).toHaveLength(1);
    expect(automation[0]).toMatchObject({
      mode: 'queued',
      triggers: [{ trigger: 'state', not_from: 'unavailable', not_to: ['unavailable', 'unknown'] }],
    });
    const choice = automation[0]?.actions[1] as { if: string; then: unknown[]; else: unknown[] };
    expect(choice.if).toBe('{{ trigger.to_state.attributes.picture is not none }}');
    const image = /image: "\/media\/local\/(.*)"/.exec(text)?.[1];
    expect(/filename: "\/media\/(.*)"/.exec(text)?.[1]).toBe(image);
    expect(named('action')).toEqual(['image.snapshot', 'notify.mobile_app_phone', 'notify.mobile_app_phone']);
    expect(JSON.stringify(choice.else)).not.toMatch(/image|media/);
  });
});
