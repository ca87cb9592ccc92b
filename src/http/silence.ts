/** How long neither side of a connection may say nothing, except while an answer is worked on. */
export const SILENCE_MS = 10_000;
