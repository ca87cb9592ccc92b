import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * For a process that works beside a node: every thread it has, and those that they will make, yield to others. On Linux each thread has a priority of
 * its own, and those that read files, decode pictures and compile JavaScript are there before anybody can ask.
 */
export function yieldToOthers(): void {
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), constants.priority.PRIORITY_BELOW_NORMAL);
    } catch {} // it has ended
  }
}
