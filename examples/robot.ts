/**
 * A robot that asks before it moves. It moves only on an answer that is final, sure, and about a frame that is still fresh when the wheels
 * turn; silence, doubt and stale answers all mean: stand still. Ends with status 1 when a question stayed without an answer.
 *
 *   node robot.js [steps]        MQTT_URL (mqtt://127.0.0.1:1883), MQTT_USERNAME, MQTT_PASSWORD, MIPHA_NODE (kitchen-1), MIPHA_CAMERA (kitchen)
 */
import { randomUUID } from 'node:crypto';
import type { Response, Result } from 'mipha-edge/messages';
import { connectAsync, type MqttClient } from 'mqtt';

const { MQTT_URL = 'mqtt://127.0.0.1:1883', MQTT_USERNAME, MQTT_PASSWORD, MIPHA_NODE = 'kitchen-1', MIPHA_CAMERA = 'kitchen' } = process.env;
const ROOT = `mipha/v1/${MIPHA_NODE}`;
const REPLIES = `mipha/v1/robot/reply/${randomUUID()}`; // matches the node's allow-list, and what mosquitto.acl grants the user `robot`
const DEADLINE_MS = 2000; // an answer that takes longer is of no use
const FRESH_MS = 1500; // what a person covers in this time, the robot can still brake for
const SURE = 0.8;

const user = MQTT_USERNAME === undefined ? {} : { username: MQTT_USERNAME, password: MQTT_PASSWORD ?? '' };
const client = await connectAsync(MQTT_URL, { protocolVersion: 5, ...user }, false);
await client.subscribeAsync(REPLIES, { qos: 1 });
for (let step = 1; step <= Number(process.argv[2] ?? 3); step++) {
  const refusal = await reasonToStay(client);
  console.log(refusal === null ? `step ${step}: the way is free, moving` : `step ${step}: standing still, ${refusal}`);
}
await client.endAsync();

/** Null when the robot may move. */
async function reasonToStay(mqtt: MqttClient): Promise<string | null> {
  const question = { camera: MIPHA_CAMERA, question: 'Is there a person?', answer: { type: 'boolean' }, max_age_ms: FRESH_MS, ttl_ms: FRESH_MS };
  const response = await ask(mqtt, question);
  if (typeof response === 'string') {
    console.error(`${ROOT}/request/query: ${response}`);
    process.exitCode = 1;
    return 'no answer in time';
  }
  if (response.status !== 'ok') return `the node says ${response.error?.code}: ${response.error?.message}`;
  const { value, confidence, valid_until } = response.data as Result;
  if (valid_until === null || Date.parse(valid_until) <= Date.now()) return 'the answer is stale';
  if (value !== false) return 'somebody is there';
  if (confidence === null || confidence < SURE) return `only ${confidence} sure that nobody is there`;
  return null;
}

/** The final response, or why there is none. */
async function ask(mqtt: MqttClient, question: object): Promise<Response | string> {
  const correlation = randomUUID();
  return await new Promise((resolve) => {
    const silence = `no answer on ${REPLIES} within ${DEADLINE_MS} ms: is the node online, and may this user read there?`;
    const timer = setTimeout(() => done(silence), DEADLINE_MS);
    const onMessage = (_topic: string, payload: Buffer, packet: { properties?: { correlationData?: Buffer } }) => {
      if (packet.properties?.correlationData?.toString() !== correlation) return; // an answer to an older question
      const response = JSON.parse(payload.toString()) as Response;
      if (response.status === 'ok' || response.status === 'error') done(response);
    };
    const done = (outcome: Response | string) => {
      clearTimeout(timer);
      mqtt.off('message', onMessage);
      resolve(outcome);
    };
    mqtt.on('message', onMessage);
    const properties = { responseTopic: REPLIES, correlationData: Buffer.from(correlation), messageExpiryInterval: DEADLINE_MS / 1000 };
    mqtt
      .publishAsync(`${ROOT}/request/query`, JSON.stringify({ ...question, deadline_ms: DEADLINE_MS }), { qos: 1, properties })
      .catch((error: Error) => done(`the broker refuses the question: ${error.message}`));
  });
}
