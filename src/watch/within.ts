/** What stop() grants a cancelled engine beyond its budget: it ends within one layer, unless it hangs. */
export const GRACE_MS = 1000;

/** Resolves when the promise is fulfilled or the time is over, whichever comes first. */
export async function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, over]);
  clearTimeout(timer);
}
