/** How old an answer about a picture may be: when it must not be sent any more, and how long it may be sent again. Milliseconds of performance.now(). */

export interface Freshness {
  /** When the picture was taken. */
  capturedMs: number;
  /** Oldest picture that the request accepts. */
  maxAgeMs: number;
  /** How long after its picture the answer may be relied upon. */
  ttlMs: number;
}

/** From then on it must not be called good. */
export function expiresMs({ capturedMs, ttlMs }: Freshness): number {
  return capturedMs + ttlMs;
}

/** From then on the same request, asked anew, wants a younger picture. */
export function staleMs(freshness: Freshness): number {
  return Math.min(freshness.capturedMs + freshness.maxAgeMs, expiresMs(freshness));
}
