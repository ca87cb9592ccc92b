/** What a node says that must end because something broke which nobody foresaw. Anything may be what broke, so nothing here relies on anything else. */
import type { Logger } from './log/log.js';

export interface LastWords {
  log: Logger;
  /** Tells systemd; undefined before there is anybody to tell. */
  notify: ((status: string) => Promise<void>) | undefined;
  /** Says `offline`; likewise. */
  sayOffline: ((withinMs: number) => Promise<void>) | undefined;
  /** Writes what is not in the record yet; likewise. */
  closeRecord: ((withinMs: number) => Promise<void>) | undefined;
}

/** The error is logged, once, with its stack; then the others hear of it. Resolves within `withinMs`, never rejects; the process is to end then. */
export async function sayLastWords(error: unknown, { log, notify, sayOffline, closeRecord }: LastWords, withinMs: number): Promise<void> {
  const err = error instanceof Error ? error : new Error(String(error)); // whatever was thrown, with a stack
  const others = [
    attempt(async () => log.fatal({ err }, `an error that nobody caught, the process ends: ${err.message}`)),
    attempt(async () => await sayOffline?.(withinMs)),
    attempt(async () => await closeRecord?.(withinMs)),
    attempt(async () => await notify?.(`ended by an error that nobody caught: ${err.message}`)),
  ];
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  await Promise.race([Promise.all(others), late]);
  clearTimeout(timer);
}

async function attempt(word: () => Promise<void>): Promise<void> {
  await word().catch(() => {});
}

/** For callbacks of those who keep to themselves what a callback throws: it is thrown again where nothing holds it, and the process ends. */
export function rethrowing<A extends unknown[]>(callback: (...values: A) => void): (...values: A) => void {
  return (...values) => {
    try {
      callback(...values);
    } catch (error) {
      rethrow(error);
    }
  };
}

export function rethrow(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
