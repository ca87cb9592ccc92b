/** "['a', \"it's\"]": a list of texts as Python prints it, which tables have in a cell. */

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', '\\': '\\', "'": "'", '"': '"' };
const TEXT = /^\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:,|$)/s;

/** null: it is none. */
export function pythonList(cell: string): string[] | null {
  const [, inside] = /^\s*\[(.*)\]\s*$/s.exec(cell) ?? [];
  if (inside === undefined) return null;
  const texts: string[] = [];
  for (let rest = inside; rest.trim() !== ''; ) {
    const found = TEXT.exec(rest);
    if (found === null) return null;
    texts.push(unescaped(found[1] ?? found[2] ?? ''));
    rest = rest.slice(found[0].length);
  }
  return texts;
}

function unescaped(text: string): string {
  return text.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/gs, (whole, byte, short, long, letter) => {
    const code = byte ?? short ?? long;
    return code === undefined ? (ESCAPES[letter] ?? whole) : String.fromCodePoint(Number.parseInt(code, 16));
  });
}
