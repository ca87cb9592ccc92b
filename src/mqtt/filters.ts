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

/** A name one may publish to: not empty, no wildcards, no control characters, nothing of the broker's own. */
export function isPublishable(topic: string): boolean {
  return topic !== '' && !topic.startsWith('$') && Buffer.byteLength(topic) <= 512 && !/[+#\p{Cc}\p{Cs}]/u.test(topic);
}

/** Where the responses of a node may go: to reply topics of the nodes of this base, to its own response topics, and to what is configured. */
export function replyFilters(base: string, root: string, configured: readonly string[]): string[] {
  return [`${base}/v1/+/reply/#`, `${root}/response/#`, ...configured];
}
