/**
 * An appliance that reacts to what a watch reports: it dims its own light while the kitchen lamp is on. It acts on events, which come once and
 * are never retained, and refuses those that were delayed by an outage; the retained result tells it where things stand when it starts.
 *
 *   node appliance.js            MQTT_URL (mqtt://127.0.0.1:1883), MIPHA_NODE (kitchen-1); Ctrl-C ends it
 */
import type { Result, WatchEvent } from 'mipha-edge/messages';
import { connectAsync } from 'mqtt';

const { MQTT_URL = 'mqtt://127.0.0.1:1883', MIPHA_NODE = 'kitchen-1' } = process.env;
const ROOT = `mipha/v1/${MIPHA_NODE}`;
const LATE_MS = 5000;

const seen = new Set<string>(); // ids of events: QoS 1 may deliver one twice
let dimmed: boolean | null = null; // null: not known, the light stays as it is

const client = await connectAsync(MQTT_URL, { protocolVersion: 5 }, false);
client.on('message', (topic, payload) => {
  if (topic.endsWith('/availability')) {
    if (payload.toString() === 'offline') set(null, 'the node is gone');
  } else if (payload.length > 0) {
    if (topic.endsWith('/event')) onEvent(JSON.parse(payload.toString()) as WatchEvent);
    else onResult(JSON.parse(payload.toString()) as Result);
  }
});
await client.subscribeAsync([`${ROOT}/availability`, `${ROOT}/watch/lamp/event`, `${ROOT}/watch/lamp/result`], { qos: 1 });
console.log('waiting for the lamp');
process.once('SIGINT', () => client.end());

function onEvent({ id, ts, replayed, event_type, value }: WatchEvent): void {
  if (seen.has(id)) return;
  seen.add(id);
  if (seen.size > 1000) seen.delete(seen.values().next().value as string);
  if (replayed || Date.now() - Date.parse(ts) > LATE_MS) console.log(`ignored an event of ${ts}: too late to act on`);
  else if (event_type === 'triggered' || event_type === 'cleared') set(value === true, event_type);
}

function onResult({ status, value, valid_until }: Result): void {
  const fresh = status === 'ok' && valid_until !== null && Date.parse(valid_until) > Date.now();
  if (!fresh) set(null, 'nothing is known');
  else if (dimmed === null && typeof value === 'boolean') set(value, 'found so');
}

function set(next: boolean | null, why: string): void {
  if (next === dimmed) return;
  dimmed = next;
  console.log(next === null ? `light unchanged: ${why}` : `light ${next ? 'dimmed' : 'full'}: ${why}`);
}
