/**
 * What Home Assistant is told about a node: one device for the node and one per camera, each in a single retained message. Field names are
 * those of its MQTT integration.
 */
import type { AnswerSpec } from '../watch/spec.js';
import { ALERTS, EVENT, RESULT, RESULT_WITH_ANSWER, shown, TYPED_QUESTION, UPDATE, WORD, WORDS } from './discovery-templates.js';
import { CAMERA_STATES, STATE_CHARS } from './messages.js';
import type { Topics } from './topics.js';

export interface DiscoveryNode {
  base: string;
  node: string;
  topics: Topics;
  /** First part of the discovery topics. */
  prefix: string;
  /** What nobody may ask for or set, e.g. `set`, `restart`: it gets no entity. */
  closed?: readonly string[];
  /** Of mipha-edge. */
  version: string;
  /** Name of the model, where one is loaded. */
  model?: string | undefined;
  /** Models can be installed. */
  updates?: boolean;
  cameras: readonly { id: string; images: boolean }[];
  watches: readonly { id: string; camera: string; answer: AnswerSpec; ttlMs: number }[];
}

export type Component = { platform: string } & Record<string, unknown>;

/** The message of one device. */
export interface DevicePayload {
  device: Record<string, unknown>;
  origin: { name: string; sw_version: string };
  qos: 1;
  components: Record<string, Component>;
}

/** Seconds after which a figure from the health message, or motion, which comes along with it, is too old. */
const HEALTH_EXPIRES_S = 90;
/** Longest interval that can be set. */
const INTERVAL_S = 86_400;

/** By topic, the node first: cameras refer to it. */
export function discoveryPayloads(node: DiscoveryNode): Map<string, DevicePayload> {
  const payloads = new Map([[topicOf(node), nodeDevice(node)]]);
  for (const camera of node.cameras) payloads.set(topicOf(node, camera.id), cameraDevice(node, camera));
  for (const payload of payloads.values()) payload.components = withoutClosed(payload.components, node);
  return payloads;
}

function withoutClosed(components: DevicePayload['components'], { closed = [], topics }: DiscoveryNode): DevicePayload['components'] {
  const isClosed = ({ command_topic: topic }: Component) =>
    typeof topic === 'string' && closed.some((what) => (what === 'set' ? topic.endsWith('/set') : topic === topics.request(what)));
  return Object.fromEntries(Object.entries(components).filter(([, component]) => !isClosed(component)));
}

function topicOf({ base, node, prefix }: DiscoveryNode, camera?: string): string {
  return `${prefix}/device/${[base, node, ...(camera === undefined ? [] : [camera])].join('_')}/config`;
}

function nodeDevice(node: DiscoveryNode): DevicePayload {
  const { topics, model } = node;
  const id = `${node.base}_${node.node}`;
  const figure = (key: string, name: string, template: string, fields: Record<string, unknown> = {}): [string, Component] => [
    key,
    {
      platform: 'sensor',
      name,
      unique_id: `${id}_node_${key}`,
      entity_category: 'diagnostic',
      enabled_by_default: false,
      state_topic: topics.health,
      value_template: template,
      state_class: 'measurement',
      expire_after: HEALTH_EXPIRES_S,
      ...available(node),
      ...fields,
    },
  ];
  const latency = { device_class: 'duration', unit_of_measurement: 'ms', enabled_by_default: true };
  return {
    device: {
      identifiers: [id],
      name: node.node,
      manufacturer: 'mipha-edge',
      sw_version: node.version,
      ...(model === undefined ? {} : { model }),
    },
    origin: origin(node),
    qos: 1,
    components: Object.fromEntries([
      figure('latency', 'Latency', "{{ value_json.latency_ms.p95 if value_json.latency_ms else 'None' }}", latency),
      figure('queue', 'Queue', '{{ value_json.queue.waiting }}'),
      figure('busy', 'Engine load', '{{ (value_json.engine.busy_ratio * 100) | round(0) }}', { unit_of_measurement: '%' }),
      figure('memory', 'Memory', '{{ value_json.memory.rss_bytes }}', { device_class: 'data_size', unit_of_measurement: 'B' }),
      figure('temperature', 'Temperature', "{{ value_json.temperature_c.values() | max if value_json.temperature_c else 'None' }}", {
        device_class: 'temperature',
        unit_of_measurement: '°C',
      }),
      figure('power', 'Power', "{{ value_json.power.watts if value_json.power.watts is not none else 'None' }}", {
        device_class: 'power',
        unit_of_measurement: 'W',
      }),
      [
        'problem',
        {
          platform: 'binary_sensor',
          name: 'Problem',
          unique_id: `${id}_node_problem`,
          device_class: 'problem',
          entity_category: 'diagnostic',
          state_topic: topics.health,
          value_template: "{{ 'ON' if value_json.errors else 'OFF' }}",
          json_attributes_topic: topics.health,
          json_attributes_template: ALERTS,
          expire_after: HEALTH_EXPIRES_S,
          ...available(node),
        },
      ],
      [
        'restart',
        {
          platform: 'button',
          name: 'Restart',
          unique_id: `${id}_node_restart`,
          device_class: 'restart',
          entity_category: 'config',
          command_topic: topics.request('restart'),
          payload_press: '{}',
          ...available(node),
        },
      ],
      ...(node.updates === true ? [['model', modelComponent(node, id)] as [string, Component]] : []),
    ]),
  };
}

/** Installs what the state calls the latest. */
function modelComponent(node: DiscoveryNode, id: string): Component {
  const { topics } = node;
  return {
    platform: 'update',
    name: 'Model',
    unique_id: `${id}_node_model`,
    entity_category: 'config',
    state_topic: topics.model,
    value_template: UPDATE,
    command_topic: topics.request('model/install'),
    payload_install: '{}',
    ...available(node),
  };
}

function cameraDevice(node: DiscoveryNode, { id: camera, images }: { id: string; images: boolean }): DevicePayload {
  const { topics } = node;
  const parent = `${node.base}_${node.node}`;
  const id = `${parent}_${camera}`;
  const of = (key: string) => ({ unique_id: `${parent}_camera_${camera}_${key}` });
  // Ids of watches have no underscore, so these keys are free.
  const components: Record<string, Component> = {
    _status: {
      platform: 'sensor',
      name: 'Status',
      ...of('status'),
      device_class: 'enum',
      options: [...CAMERA_STATES],
      entity_category: 'diagnostic',
      enabled_by_default: false,
      state_topic: topics.camera(camera, 'status'),
      ...available(node),
    },
    _fps: {
      platform: 'sensor',
      name: 'Frames per second',
      ...of('fps'),
      entity_category: 'diagnostic',
      enabled_by_default: false,
      state_topic: topics.health,
      value_template: `{{ (value_json.cameras['${camera}'] | default({})).fps | default('None') }}`,
      state_class: 'measurement',
      expire_after: HEALTH_EXPIRES_S,
      ...available(node),
    },
    _motion: {
      platform: 'binary_sensor',
      name: 'Motion',
      ...of('motion'),
      device_class: 'motion',
      state_topic: topics.camera(camera, 'motion'),
      expire_after: HEALTH_EXPIRES_S,
      ...available(node, camera),
    },
    _enabled: {
      platform: 'switch',
      name: 'Enabled',
      ...of('enabled'),
      entity_category: 'config',
      command_topic: `${topics.root}/camera/${camera}/enabled/set`,
      state_topic: topics.camera(camera, 'enabled/state'),
      ...available(node),
    },
  };
  if (images) {
    components._image = {
      platform: 'image',
      name: 'Picture',
      ...of('image'),
      image_topic: topics.camera(camera, 'image'),
      content_type: 'image/jpeg',
      ...available(node, camera),
    };
    components._snapshot = {
      platform: 'button',
      name: 'Take a picture',
      ...of('snapshot'),
      command_topic: topics.request('snapshot'),
      payload_press: JSON.stringify({ camera }),
      ...available(node, camera),
    };
  }
  for (const watch of node.watches) {
    if (watch.camera !== camera) continue;
    Object.assign(components, watchComponents(node, watch));
    if (images) components[`${watch.id}_picture`] = pictureComponent(node, watch);
  }
  return {
    device: { identifiers: [id], name: `${node.node} ${camera}`, manufacturer: 'mipha-edge', model: 'Camera', via_device: parent },
    origin: origin(node),
    qos: 1,
    components,
  };
}

function watchComponents(node: DiscoveryNode, { id: watch, camera, answer, ttlMs }: DiscoveryNode['watches'][number]): Record<string, Component> {
  const { topics } = node;
  const name = watch.replaceAll('-', ' ');
  const of = (key: string) => ({ unique_id: `${node.base}_${node.node}_watch_${watch}_${key}` });
  const setting = (key: 'enabled' | 'interval' | 'prompt') => ({
    name: `${name} ${key}`,
    ...of(key),
    entity_category: 'config',
    command_topic: `${topics.root}/watch/${watch}/${key}/set`,
    state_topic: topics.watch(watch, `${key}/state`),
    ...available(node),
  });
  return {
    [watch]: {
      name,
      ...of('value'),
      state_topic: topics.watch(watch, 'state'),
      json_attributes_topic: topics.watch(watch, 'result'),
      json_attributes_template: answer.type === 'text' ? RESULT_WITH_ANSWER : RESULT,
      expire_after: Math.ceil(ttlMs / 1000),
      ...available(node, camera),
      ...valueComponent(answer),
    },
    [`${watch}_event`]: {
      platform: 'event',
      name: `${name} event`,
      ...of('event'),
      state_topic: topics.watch(watch, 'event'),
      value_template: EVENT,
      event_types: answer.type === 'boolean' ? ['triggered', 'cleared', 'reminder', 'error'] : ['changed', 'reminder', 'error'],
      ...available(node, camera),
    },
    [`${watch}_enabled`]: { platform: 'switch', ...setting('enabled') },
    [`${watch}_interval`]: {
      platform: 'number',
      ...setting('interval'),
      min: 0,
      max: INTERVAL_S,
      step: 0.1,
      mode: 'box',
      device_class: 'duration',
      unit_of_measurement: 's',
    },
    // A longer prompt is shown cut; it is set by watch/put.
    [`${watch}_prompt`]: {
      platform: 'text',
      ...setting('prompt'),
      min: 1,
      max: STATE_CHARS,
      value_template: WORDS,
      command_template: TYPED_QUESTION,
    },
  };
}

/** The picture of the last event. */
function pictureComponent(node: DiscoveryNode, { id: watch, camera }: DiscoveryNode['watches'][number]): Component {
  return {
    platform: 'image',
    name: `${watch.replaceAll('-', ' ')} picture`,
    unique_id: `${node.base}_${node.node}_watch_${watch}_picture`,
    image_topic: node.topics.watch(watch, 'picture'),
    content_type: 'image/jpeg',
    ...available(node, camera),
  };
}

function valueComponent(answer: AnswerSpec): Component {
  switch (answer.type) {
    case 'boolean':
      return { platform: 'binary_sensor', value_template: WORD };
    case 'choice':
      return { platform: 'sensor', value_template: WORDS, device_class: 'enum', options: answer.choices.map(shown) };
    case 'number':
      return { platform: 'sensor', value_template: WORD, state_class: 'measurement', suggested_display_precision: answer.decimals };
    case 'text':
      return { platform: 'sensor', value_template: WORDS };
  }
}

/** A camera that is not online makes what it shows unavailable; a topic with other states than HA's two needs the template. */
function available({ topics }: DiscoveryNode, camera?: string) {
  const node = { topic: topics.availability };
  if (camera === undefined) return { availability: [node] };
  const status = { topic: topics.camera(camera, 'status'), value_template: "{{ 'online' if value == 'online' else 'offline' }}" };
  return { availability: [node, status], availability_mode: 'all' };
}

function origin({ version }: DiscoveryNode) {
  return { name: 'mipha-edge', sw_version: version };
}
