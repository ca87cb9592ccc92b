/** One established connection as the rest of this room sees it, and the messages that cross it. */

/** What MQTT 5 sends beside the payload; left out with 3.1.1. */
export interface Properties {
  /** Seconds; the broker drops the message afterwards. */
  expiryS?: number;
  contentType?: string;
  correlation?: Buffer;
  user?: Record<string, string>;
}

export interface ResponseProperties extends Properties {
  /** Progress, not an outcome: not sent where many responses wait already. */
  optional?: boolean;
}

/** A message to the broker. */
export interface Publish extends Properties {
  topic: string;
  payload: Buffer;
  qos: 0 | 1;
  retain: boolean;
}

/** A message from the broker. */
export interface Incoming {
  topic: string;
  payload: Buffer;
  retained: boolean;
  /** May have been delivered before. */
  duplicate: boolean;
  /** MQTT 5 properties of requests; `expiryS` is the life left. */
  responseTopic?: string;
  correlation?: Buffer;
  expiryS?: number;
  /** Where the connection holds acknowledgements: lets the broker send the next one. */
  acknowledge?: () => void;
}

export interface Wire {
  readonly protocol: '5' | '3.1.1';
  /** Largest packet the broker takes, as far as it says so. */
  readonly maxPacketBytes: number;
  /** QoS 1 messages the broker takes before it has acknowledged the first. */
  readonly receiveMaximum: number;
  /** Subscriptions that several clients share, one message for one of them. */
  readonly offersShared: boolean;
  /** Bytes written and not yet taken by the system: grows when the link is slower than we are. */
  readonly backlogBytes: number;
  /** `done`: QoS 0 once written, QoS 1 once acknowledged, with an error if refused; never when the connection breaks before. */
  publish(message: Publish, done: (refusal: Error | null) => void): void;
  /** Retained messages of the past only if `past` is true, and only they have the flag then. Rejects when a filter is refused or gets less than it asks for: QoS 1, with MQTT 3.1.1 QoS 0. */
  subscribe(filters: readonly string[], options?: { past?: boolean }): Promise<void>;
  /** What the broker had sent before it answered has arrived. */
  unsubscribe(filters: readonly string[]): Promise<void>;
  /** Ends the connection without ceremony; a new one will follow, later when somebody has to do something first (`lasting`). */
  breakOff(reason: string, lasting?: boolean): void;
}

/** Room in a packet for the topic and the properties around a picture, in bytes. */
export const PICTURE_OVERHEAD_BYTES = 1024;

/** Upper bound of the size of a PUBLISH packet, in bytes. */
export function packetBytes({ topic, payload, contentType = '', correlation, user = {} }: Publish): number {
  const properties =
    16 +
    Buffer.byteLength(contentType) +
    (correlation?.length ?? 0) +
    Object.entries(user).reduce((sum, [key, value]) => sum + 5 + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
  return 5 + 2 + Buffer.byteLength(topic) + 2 + 4 + properties + payload.length;
}
