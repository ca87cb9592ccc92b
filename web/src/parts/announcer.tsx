import { useEffect, useRef, useState } from 'preact/hooks';
import { usePage } from '../hooks.js';
import { valueWords } from '../words.js';

const PAUSE_MS = 2000;

/** Says new values and new troubles, never old ones again: at most a sentence in two seconds. */
export function Announcer() {
  const { model } = usePage();
  const [text, setText] = useState('');
  const known = useRef(new Map<string, string>());
  const waiting = useRef(new Map<string, string>());
  const session = useRef<string | undefined>(undefined);
  useEffect(() => {
    const now = new Map<string, string>();
    for (const { id } of model.info?.watches ?? []) now.set(`watch ${id}`, `${id}: ${valueWords(model.result(id)?.value)}`);
    for (const { id } of model.info?.cameras ?? []) now.set(`camera ${id}`, `camera ${id} is ${model.cameraStatus(id) ?? 'not known'}`);
    for (const { id, message } of model.alerts) now.set(`alert ${id}`, message);
    const isNew = session.current !== model.hello?.session || known.current.size === 0;
    session.current = model.hello?.session;
    for (const [key, words] of now) if (!isNew && known.current.get(key) !== words) waiting.current.set(key, words);
    known.current = now;
  });
  useEffect(() => {
    const timer = setInterval(() => {
      if (waiting.current.size === 0) return;
      setText([...waiting.current.values()].join('. '));
      waiting.current.clear();
    }, PAUSE_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="hidden" aria-live="polite">
      {text}
    </div>
  );
}
