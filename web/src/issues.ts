/** What the node would refuse of changed settings, while they are being written. */
import { useEffect, useState } from 'preact/hooks';
import type { OptionIssue } from '../../src/page/node.js';
import { post } from './api.js';
import { nested, type Spec } from './spec.js';

const REST_MS = 250;

/** By path below the watch. What cannot be asked counts as right: saving says the same. */
export function useIssues(watch: string, changes: Spec): ReadonlyMap<string, string> {
  const [issues, setIssues] = useState<ReadonlyMap<string, string>>(new Map());
  const text = JSON.stringify(changes);
  useEffect(() => {
    let isOld = false;
    const take = (found: readonly OptionIssue[]) => {
      const prefix = `watches.${watch}.`;
      if (!isOld) setIssues(new Map(found.map(({ path, message }) => [path.startsWith(prefix) ? path.slice(prefix.length) : path, message])));
    };
    if (text === '{}') return take([]);
    const options = { watches: { [watch]: nested(JSON.parse(text)) } };
    const timer = setTimeout(() => {
      post<{ issues: OptionIssue[] }>('api/config/options/check', { options }).then(
        ({ issues: found }) => take(found),
        () => take([]),
      );
    }, REST_MS);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [watch, text]);
  return issues;
}
