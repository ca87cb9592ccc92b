/** Brokers, and nodes on them, that the tests of a file share or have anew. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { ConfigInput } from '../../src/service/config/config.js';
import type { LoadModel } from '../../src/service/model/model.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { type Ear, listen, type Node, startNode } from './support.js';

/** A broker for each test, and a client that hears all of a node. */
export function brokerForEach(give: (given: { mosquitto: Mosquitto; ear: Ear }) => void): void {
  let mosquitto: Mosquitto;
  let ear: Ear;
  beforeEach(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
    give({ mosquitto, ear });
  });
  afterEach(async () => {
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });
}

/** One node for all tests, online and with a frame of its camera `kitchen`, on a broker of its own. */
export function nodeForAll(values: ConfigInput, loadModel: LoadModel, give: (given: { mosquitto: Mosquitto; ear: Ear; node: Node }) => void): void {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let node: Node;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
    node = await startNode(mosquitto.url, values, { loadModel });
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest());
    give({ mosquitto, ear, node });
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });
}
