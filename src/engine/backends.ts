/** What can run a model. */

export const BACKENDS = ['auto', 'cpu', 'cuda', 'tensorrt'] as const;
export type Backend = (typeof BACKENDS)[number];
