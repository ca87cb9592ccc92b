/**
 * The packet writer under MQTT.js keeps one small Buffer for each packet length below 16 384 that it has ever written, for ever. Made one by one between
 * other Buffers, each of them holds a pooled slab of 8 KB alive, which comes to 134 MB after weeks. Made all at once, they lie side by side in 128 KB.
 */
import { writeToStream } from 'mqtt-packet';

const KEPT_BELOW = 16_384;
/** What a publish to the topic "t" without properties has before its payload, in bytes: two of length, one of text. */
const HEADER = 3;

let made = false;

/** Takes some ten milliseconds, once per process. */
export function makePacketLengths(): void {
  if (made) return;
  made = true;
  const nowhere = { write: () => true } as unknown as NodeJS.WritableStream; // nothing is kept until a tick ends
  const payload = Buffer.allocUnsafeSlow(KEPT_BELOW);
  for (let length = HEADER; length < KEPT_BELOW; length++) {
    writeToStream({ cmd: 'publish', topic: 't', payload: payload.subarray(0, length - HEADER), qos: 0, retain: false, dup: false }, nowhere);
  }
}
