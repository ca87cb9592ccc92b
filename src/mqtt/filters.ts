/** MQTT topic filters, and which topics responses may go to. */

/** True when `topic` matches `filter` with its wildcards + and #; topics that begin with $ match no wildcard at their first level. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (const [i, part] of wanted.entries()) {
    if (part === '#') return i === wanted.length - 1;
    if (levels[i] === undefined || (part !== '+' && part !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** What brokers close the connection for: control characters, halves of surrogate pairs, and code points that are no characters. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u;
const TOPIC_BYTES = 512;

/** A string as MQTT has them: brokers take it as a name or part of one. */
export function isMqttText(text: string): boolean {
  return !FORBIDDEN.test(text) && Buffer.byteLength(text) <= 65_535;
}

/** A name one may publish to: not empty, no wildcards, nothing of the broker's own. */
export function isPublishable(topic: string): boolean {
  return isTopicFilter(topic) && !/[+#]/.test(topic);
}

/** Of MQTT 3.1.1 brokers too, which cannot refuse a topic but by ending the connection: NATS does for blanks and dots, and `*` and `>` are its wildcards. */
export function isPlain(topic: string): boolean {
  return !/[\s.*>]/.test(topic);
}

/** `+` fills a level, `#` is the last level; not below `$`, which belongs to the broker. */
export function isTopicFilter(text: string): boolean {
  if (text === '' || text.startsWith('$') || Buffer.byteLength(text) > TOPIC_BYTES || !isMqttText(text)) return false;
  const levels = text.split('/');
  return levels.every((level, index) => level === '+' || (level === '#' && index === levels.length - 1) || !/[+#]/.test(level));
}

/** Where the responses of a node may go: to reply topics of the nodes of this base, to its own response topics, and to what is configured. */
export function replyFilters(base: string, root: string, configured: readonly string[]): string[] {
  return [`${base}/v1/+/reply/#`, `${root}/response/#`, ...configured];
}
