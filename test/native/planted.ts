/** Source text with a fault in it. `from` stands once in it, however its white space lies. */
export function planted(text: string, { name, file, from, to }: { name: string; file: string; from: string; to: string }): string {
  const words = from.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(words.join('\\s+'), 'g');
  const times = text.match(pattern)?.length ?? 0;
  if (times !== 1) throw new Error(`${name}: in ${file} ${times} times, expected once: ${from}`);
  return text.replace(pattern, () => to);
}
