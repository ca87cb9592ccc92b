/** Errors that nobody caught, rejections included: never half alive. The node says its last words, and the process ends for its supervisor. */
import type { Service } from '../service/service.js';
import { EXIT_FAILURE, report } from './failure.js';

/** For the last words; the broker's will says `offline` where they do not arrive. */
const LAST_WORDS_MS = 3000;
/** What is left of it after another error: what broke seldom throws only once, and what says farewell may be broken too. */
const AFTER_ANOTHER_MS = 500;

/** From now until the returned function is called. `service`: the one that runs, if any. */
export function endOnEscape(service: () => Pick<Service, 'abandon'> | null): () => void {
  let ending = false;
  const end = (error: unknown) => {
    if (ending) {
      setTimeout(() => process.exit(EXIT_FAILURE), AFTER_ANOTHER_MS);
      return;
    }
    ending = true;
    const running = service();
    if (running === null) {
      report(error, true);
      process.exit(EXIT_FAILURE);
    }
    void running.abandon(error, LAST_WORDS_MS).then(() => process.exit(EXIT_FAILURE));
  };
  process.on('uncaughtException', end); // Node hands it rejections too
  return () => process.off('uncaughtException', end);
}
