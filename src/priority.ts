/**
 * How work beside a node yields to it. On Linux each thread has a priority of its own. A lower one would yield no more where cores are idle in between,
 * and where none is, as on a board that other programs keep busy, it would hardly go on: at the lowest a thread gets a seventieth of a core, here a tenth.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

const PRIORITY = constants.priority.PRIORITY_BELOW_NORMAL;

/** This process: those threads too that read files, decode pictures and compile JavaScript, which are there before anybody can ask, and all to come. */
export function yieldToOthers(): void {
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      lower(Number(thread));
    } catch {} // it has ended
  }
}

/** This thread, and what it starts. */
export function yieldThisThread(): void {
  lower(Number(readlinkSync('/proc/thread-self').split('/').at(-1)));
}

/** One that yields more already stays as it is: raising it again is not for everybody. */
function lower(thread: number): void {
  if (getPriority(thread) < PRIORITY) setPriority(thread, PRIORITY);
}
