/** Some messages break every connection that they come over: how one is found out, and what becomes of its topic. */

/** A connection that breaks this soon after a message may have broken because of it ... */
export const SUSPICIOUS_MS = 2000;
/** ... and after so many times, sent alone, it certainly has. */
export const SUSPICIONS = 3;
/** It may have been the network after all: its topic is tried again after this. */
export const BARRED_MS = 600_000;
export const REFUSED = `the broker broke the connection ${SUSPICIONS} times when it came`;
