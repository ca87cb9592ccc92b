/** The model in components: they are drawn once for each frame of the screen at most, and not at all while nobody sees them. */
import { createContext, type TargetedInputEvent } from 'preact';
import { useContext, useEffect, useReducer, useState } from 'preact/hooks';
import type { Connection } from './connection.js';
import type { Model } from './model.js';

export interface Page {
  model: Model;
  connection: Connection;
}

export const PageContext = createContext<Page>(undefined as unknown as Page);

/** Draws again whenever something changes. */
export function usePage(): Page {
  const page = useContext(PageContext);
  const [, draw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    let frame = 0;
    const changed = () => {
      if (frame === 0)
        frame = requestAnimationFrame(() => {
          frame = 0;
          draw(null as never);
        });
    };
    const ends = [page.model.subscribe(changed), page.connection.subscribe(changed)];
    return () => {
      cancelAnimationFrame(frame);
      for (const end of ends) end();
    };
  }, [page]);
  return page;
}

/** The node's clock, once a second while somebody looks. */
export function useNow(): number {
  const { connection } = useContext(PageContext);
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) tick(null as never);
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  return connection.now();
}

/** Of an input: what is being written stays as it is while it means the value, e.g. `1.` for 1, however often all is drawn again. */
export function useWritten<T extends HTMLInputElement | HTMLTextAreaElement = HTMLInputElement>(
  value: string,
  take: (text: string) => void,
  meaning: (text: string) => string = (text) => text,
): { value: string; onInput: (event: TargetedInputEvent<T>) => void } {
  const [text, setText] = useState(value);
  const onInput = ({ currentTarget }: TargetedInputEvent<T>) => {
    setText(currentTarget.value);
    take(currentTarget.value);
  };
  return { value: meaning(text) === value ? text : value, onInput };
}

const STILL = matchMedia('(prefers-reduced-motion: reduce)');

/** Whether pictures should stand still. */
export function useStill(): boolean {
  const [still, setStill] = useState(STILL.matches);
  useEffect(() => {
    const changed = () => setStill(STILL.matches);
    STILL.addEventListener('change', changed);
    return () => STILL.removeEventListener('change', changed);
  }, []);
  return still;
}

/** The part behind `#/`, e.g. ['watch', 'door']. */
export function useRoute(): string[] {
  const read = () => location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => setRoute(read());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
