import type { ComponentChildren } from 'preact';

const SIGNS = { good: '●', warn: '▲', bad: '✕', idle: '○' } as const;
export type BadgeKind = keyof typeof SIGNS;

/** A state in words, with a shape of its own beside its colour. */
export function Badge({ kind, children }: { kind: BadgeKind; children: ComponentChildren }) {
  return (
    <span class={`badge ${kind}`}>
      <span aria-hidden="true">{SIGNS[kind]}</span> {children}
    </span>
  );
}
