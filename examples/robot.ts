/**
 * A robot that asks before it moves. It moves only on an answer that is final, sure, and about a frame that is still fresh when the wheels
 * turn; silence, doubt and stale answers all mean: stand still.
 *
 *   node robot.js [steps]        MQTT_URL (mqtt://127.0.0.1:1883), MIPHA_NODE (kitchen-1)
 */
import { randomUUID } from 'node:crypto';
import type { Response, Result } from 'mipha-edge/messages';
import { connectAsync, type MqttClient } from 'mqtt';

const { MQTT_URL = 'mqtt://127.0.0.1:1883', MIPHA_NODE = 'kitchen-1' } = process.env;
const ROOT = `mipha/v1/${MIPHA_NODE}`;
const REPLIES = `mipha/v1/robot-${randomUUID().slice(0, 8)}/reply/path`; // matches the node's default allow-list
const DEADLINE_MS = 2000; // an answer that takes longer is of no use
const FRESH_MS = 1500; // what a person covers in this time, the robot can still brake for
const SURE = 0.8;

const client = await connectAsync(MQTT_URL, { protocolVersion: 5 });
await client.subscribeAsync(REPLIES, { qos: 1 });
for (let step = 1; step <= Number(process.argv[2] ?? 3); step++) {
  const refusal = await reasonToStay(client);
  console.log(refusal === null ? `step ${step}: the way is free, moving` : `step ${step}: standing still, ${refusal}`);
}
await client.endAsync();

/** Null when the robot may move. */
async function reasonToStay(mqtt: MqttClient): Promise<string | null> {
  const response = await ask(mqtt, { question: 'Is there a person?', answer: { type: 'boolean' }, max_age_ms: FRESH_MS, ttl_ms: FRESH_MS });
  if (response === null) return 'no answer in time';
  if (response.status !== 'ok') return `the node says ${response.error?.code}: ${response.error?.message}`;
  const { value, confidence, valid_until } = response.data as Result;
  if (valid_until === null || Date.parse(valid_until) <= Date.now()) return 'the answer is stale';
  if (value !== false) return 'somebody is there';
  if (confidence === null || confidence < SURE) return `only ${confidence} sure that nobody is there`;
  return null;
}

/** The final response, or null when none came before the deadline. */
async function ask(mqtt: MqttClient, question: object): Promise<Response | null> {
  const correlation = randomUUID();
  return await new Promise((resolve) => {
    const timer = setTimeout(() => done(null), DEADLINE_MS);
    const onMessage = (_topic: string, payload: Buffer, packet: { properties?: { correlationData?: Buffer } }) => {
      if (packet.properties?.correlationData?.toString() !== correlation) return; // an answer to an older question
      const response = JSON.parse(payload.toString()) as Response;
      if (response.status === 'ok' || response.status === 'error') done(response);
    };
    const done = (response: Response | null) => {
      clearTimeout(timer);
      mqtt.off('message', onMessage);
      resolve(response);
    };
    mqtt.on('message', onMessage);
    const properties = { responseTopic: REPLIES, correlationData: Buffer.from(correlation), messageExpiryInterval: DEADLINE_MS / 1000 };
    mqtt
      .publishAsync(`${ROOT}/request/query`, JSON.stringify({ ...question, deadline_ms: DEADLINE_MS }), { qos: 1, properties })
      .catch(() => done(null));
  });
}
