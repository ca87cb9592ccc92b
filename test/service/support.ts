/** A whole node against a real broker: with the shipped model or a fake one whose speed and answers a test decides. */
import { connectAsync, type IClientOptions, type IClientPublishOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import type { Answer } from '../../src/engine/answer.js';
import type { ChatTalk } from '../../src/service/chat/chat-model.js';
import { type ConfigInput, configOf, type LoadedConfig } from '../../src/service/config/config.js';
import { Log } from '../../src/service/log/log.js';
import { type LoadedModel, type LoadModel, modelLoader } from '../../src/service/model/model.js';
import { Service } from '../../src/service/service.js';
import { sleep, until } from '../support/mosquitto.js';
import { NANO } from '../support/nano.js';

export const ROOT = 'mipha/v1/test';

export interface Received {
  topic: string;
  text: string;
  retained: boolean;
  atMs: number; // of performance.now()
  packet: IPublishPacket;
}

/** Everything that passes on the broker, as an independent client sees it. */
export interface Ear extends AsyncDisposable {
  client: MqttClient;
  all: Received[];
  on(topic: string): Received[];
  /** The next final response with this transaction, parsed. */
  response(transaction: string, withinMs?: number): Promise<{ status: string; data: never; error: { code: string; message: string } | null }>;
  request(verb: string, body: object, options?: IClientPublishOptions): Promise<void>;
}

export async function listen(url: string, filters: string[] = [`${ROOT}/#`], options: IClientOptions = {}): Promise<Ear> {
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 200, ...options }, true);
  const all: Received[] = [];
  client.on('error', () => {});
  client.on('message', (topic, payload, packet) =>
    all.push({ topic, text: payload.toString(), retained: packet.retain, atMs: performance.now(), packet }),
  );
  await client.subscribeAsync(filters, { qos: 1 });
  return {
    client,
    all,
    on: (topic) => all.filter((message) => message.topic === `${ROOT}/${topic}`),
    async response(transaction, withinMs = 10_000) {
      return await until(
        `a final response to ${transaction}`,
        () =>
          all
            .filter(({ topic }) => topic.startsWith(`${ROOT}/response/`))
            .map(({ text }) => JSON.parse(text))
            .find((response) => response.transaction === transaction && ['ok', 'error'].includes(response.status)),
        withinMs,
      );
    },
    async request(verb, body, options = {}) {
      await client.publishAsync(`${ROOT}/request/${verb}`, JSON.stringify(body), { qos: 1, ...options });
    },
    [Symbol.asyncDispose]: () => client.endAsync(true),
  };
}

export interface Node extends AsyncDisposable {
  service: Service;
  loaded: LoadedConfig;
}

export const KITCHEN = { uri: 'synthetic://kitchen?cup=one&change_ms=500' };
export const LAMP = { camera: 'kitchen', question: 'Is the lamp on?', interval_ms: 100 };

/** A node called `test`, without HTTP and discovery unless `values` say otherwise. */
export function config(url: string, values: ConfigInput = {}): LoadedConfig {
  const { mqtt, ...rest } = values as { mqtt?: object };
  return configOf({
    node: 'test',
    mqtt: { url, discovery: { enabled: false }, ...mqtt },
    http: { enabled: false },
    log: { level: 'fatal' },
    cameras: { kitchen: KITCHEN },
    watches: { lamp: LAMP },
    ...rest,
  });
}

export async function startNode(
  url: string,
  values: ConfigInput = {},
  { loadModel = modelLoader(NANO), load, log }: { loadModel?: LoadModel; load?: () => Promise<LoadedConfig>; log?: string[] } = {},
): Promise<Node> {
  const loaded = config(url, values);
  const lines = new Log(loaded.config.log, log === undefined ? {} : { sink: { write: (line) => void log.push(line) } });
  const service = new Service({ loaded, load: load ?? (async () => loaded), loadModel, log: lines, version: '0.0.0-test' });
  await service.start();
  return { service, loaded, [Symbol.asyncDispose]: () => service.stop() };
}

/** A model that takes `lookMs` and `askMs` and answers what `answer` says. */
export interface FakeModel extends LoadedModel {
  looks: number;
  asked: string[];
  running: number;
  /** May be changed at any time. */
  askMs: number;
}

export function fakeModel({ lookMs = 0, askMs = 0, answer = (): unknown => true } = {}): FakeModel {
  const work = async (ms: number, signal?: AbortSignal) => {
    model.running++;
    try {
      for (const end = performance.now() + ms; performance.now() < end; ) {
        signal?.throwIfAborted();
        await sleep(Math.min(10, ms));
      }
      signal?.throwIfAborted();
    } finally {
      model.running--;
    }
  };
  const answerTo = (question: string): Answer<never> => {
    const value = answer() as never;
    const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
    model.asked.push(question);
    return { text: String(value), value, confidence: 1, finish: 'stop', tokens: { prompt: 1, reused: 0, answer: 1 }, timings };
  };
  const streamOf = (question: string) => {
    const whole = Promise.resolve(answerTo(question) as Answer);
    const pieces = (async function* () {
      yield (await whole).text;
    })();
    return Object.assign(pieces, { answer: whole });
  };
  const talk: ChatTalk = {
    async ask(question: string, { signal }: { signal?: AbortSignal | undefined } = {}) {
      await work(model.askMs, signal);
      return answerTo(question);
    },
    stream: streamOf,
    dispose: async () => {},
  };
  const model: FakeModel = {
    converse: async () => talk,
    looks: 0,
    asked: [],
    running: 0,
    askMs,
    name: 'fake',
    revision: '0',
    imageSize: 112,
    context: 512,
    status: () => ({ backend: 'fake', memory: [], passedOver: [] }),
    dispose: async () => {},
    async look(_image, { signal } = {}) {
      model.looks++;
      await work(lookMs, signal);
      return {
        timings: { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, totalMs: lookMs },
        imageTokens: 64,
        converse: async () => talk,
        async ask(question, { signal: asking } = {}) {
          await work(model.askMs, asking);
          return answerTo(question);
        },
        stream: streamOf,
        dispose: async () => {},
      };
    },
  };
  return model;
}
