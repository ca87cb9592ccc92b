/** A pipeline as somebody types it, taken apart. */

const QUOTED = /"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs;

/** The arguments as a shell would give them to gst-launch, so that what works there works here; undefined where a quote has no end. */
export function tokens(description: string): string[] | undefined {
  if (/["'\\]/.test(description.replace(QUOTED, ''))) return undefined;
  const found = description.match(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/gs) ?? [];
  return found.map((token) =>
    token.replace(QUOTED, (_, double?: string, single?: string, escaped?: string) => double?.replace(/\\(["\\])/g, '$1') ?? single ?? escaped ?? ''),
  );
}
