/** What a broker must offer, and the words for one that does not: QoS 1, retained messages, wildcards in subscriptions. See docs/mqtt.md. */

/** The broker will never serve this node, whatever the network does. */
export class BrokerLacks extends Error {}

/** What MQTT 5 brokers say in their CONNACK, as far as it matters here. */
export interface Offer {
  maximumQoS?: number;
  retainAvailable?: boolean;
  wildcardSubscriptionAvailable?: boolean;
}

const NEEDS = 'a node needs QoS 1, retained messages and wildcard subscriptions, and some cloud brokers lack one of them (see docs/mqtt.md)';
const NOT_RETAINED = 154; // reason codes of MQTT 5
const NO_QOS = 155;
const NO_WILDCARDS = 162;

/** Undefined when the broker lacks nothing, as far as it says. */
export function lackIn({ maximumQoS, retainAvailable, wildcardSubscriptionAvailable }: Offer): string | undefined {
  const lacks = [
    ...(maximumQoS === 0 ? ['no QoS 1'] : []),
    ...(retainAvailable === false ? ['no retained messages'] : []),
    ...(wildcardSubscriptionAvailable === false ? ['no wildcard subscriptions'] : []),
  ];
  return lacks.length === 0 ? undefined : `the broker offers ${lacks.join(' and ')}: ${NEEDS}`;
}

/** Undefined for a reason code that says nothing about what the broker can do. */
export function lackOf(reasonCode: number): string | undefined {
  return lackIn({
    ...(reasonCode === NO_QOS ? { maximumQoS: 0 } : {}),
    ...(reasonCode === NOT_RETAINED ? { retainAvailable: false } : {}),
    ...(reasonCode === NO_WILDCARDS ? { wildcardSubscriptionAvailable: false } : {}),
  });
}

/** Throws BrokerLacks when a subscription was accepted with less than QoS 1. */
export function checkGranted(granted: readonly { topic: string; qos: number }[]): void {
  const less = granted.find(({ qos }) => qos < 1);
  if (less !== undefined) throw new BrokerLacks(`the broker grants only QoS 0 for ${less.topic}: ${NEEDS}`);
}

/** What is known when a connection ends that never saw a retained message acknowledged: MQTT 3.1.1 has no words for a refusal. */
export function suspectedLack(text: string): string {
  return `${text}, right after a retained message with QoS 1 was sent and though none was ever acknowledged; if this repeats, the broker does not take such messages: ${NEEDS}`;
}
