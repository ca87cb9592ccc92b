/** Looking up names that come from outside: `constructor` is a good name for a watch, and no property of every object here. */

/** Undefined unless the record itself has the key. */
export function own<T>(record: Readonly<Record<string, T>> | null | undefined, key: string): T | undefined {
  return typeof record === 'object' && record !== null && Object.hasOwn(record, key) ? record[key] : undefined;
}
