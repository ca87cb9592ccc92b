/** Signals that come while a command is still being loaded, which takes longest on small machines: kept, and told when it is ready. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

let came: NodeJS.Signals[] | null = null;
const hold = (signal: NodeJS.Signals) => void came?.push(signal);

/** From now on none of them ends the process. */
export function holdSignals(): void {
  if (came !== null) return;
  came = [];
  for (const signal of SIGNALS) process.on(signal, hold);
}

/** The handlers of the command are in place: they get what came. */
export function releaseSignals(): void {
  const held = came ?? [];
  came = null;
  for (const signal of SIGNALS) process.off(signal, hold);
  for (const signal of new Set(held)) process.emit(signal, signal);
}
