/**
 * The packet writer under MQTT.js keeps one small Buffer for each packet length below 16 384 that it has ever written, for ever. Made one by one between
 * other Buffers, each of them holds a pooled slab of 8 KB alive, which comes to 134 MB after weeks. Made all at once, they lie side by side in 128 KB.
 */
import { writeToStream } from 'mqtt-packet';

const KEPT_BELOW = 16_384;
/** What a publish to the topic "t" without properties has before its payload, in bytes: two of length, one of text. */
const HEADER = 3;

/** Questions and their like are smaller. */
const SMALL_BELOW = 2048;

let madeBelow = HEADER;

/** Takes some ten milliseconds and 20 MB, once per process. `small`: only for packets that a program sends which asks, and publishes nothing; a tenth of it. */
export function makePacketLengths({ small = false } = {}): void {
  if (small && madeBelow === HEADER) (writeToStream as { cacheNumbers?: boolean }).cacheNumbers = false; // 10 MB of all numbers of two bytes
  const below = small ? SMALL_BELOW : KEPT_BELOW;
  const nowhere = { write: () => true } as unknown as NodeJS.WritableStream; // nothing is kept until a tick ends
  const payload = Buffer.allocUnsafeSlow(below);
  for (; madeBelow < below; madeBelow++) {
    writeToStream({ cmd: 'publish', topic: 't', payload: payload.subarray(0, madeBelow - HEADER), qos: 0, retain: false, dup: false }, nowhere);
  }
}
