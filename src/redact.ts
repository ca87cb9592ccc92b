/**
 * The one filter before every text that leaves: it knows secrets literally, whoever wrote the text. What has been read once stays secret until the
 * process ends, because old passwords are often tried again.
 */

export const HIDDEN = '***';
/** Shorter ones would hide half of every text; where they stand in an address they are hidden together with what surrounds them. */
export const SHORTEST = 4;

/**
 * Names, times, words of the contract, and what was asked and answered: programs compare them, and no secret gets into them. A password that
 * happens to be such a word must not change them.
 */
export const VERBATIM: ReadonlySet<string> = new Set([
  ...['answer', 'api', 'backend', 'camera', 'choices', 'code', 'content_type', 'event_type', 'id', 'key', 'labels', 'level', 'lifecycle', 'node'],
  ...['ns', 'observed', 'previous', 'product', 'protocol', 'question', 'restart_required', 'rev', 'schemas', 'session', 'sha256', 'state', 'status'],
  ...['text', 'time', 'topic', 'transaction', 'trigger', 'ts', 'type', 'valid_until', 'value', 'verb', 'verbs', 'version', 'watch'],
]);

export class Redactor {
  private readonly known = new Set<string>();
  /** As they stand in text, and in the strings of JSON. */
  private forms: { plain: string; json: string }[] = [];

  constructor(secrets: Iterable<string> = []) {
    this.add(secrets);
  }

  /** Each is hidden in the forms in which programs print it: as it is, percent-encoded, decoded, with backslashes. */
  add(secrets: Iterable<string>): void {
    const before = this.known.size;
    for (const secret of new Set(secrets)) {
      for (const form of formsOf(secret)) if (form.length >= SHORTEST) this.known.add(form);
    }
    if (this.known.size > before) this.forms = [...this.known].map((plain) => ({ plain, json: JSON.stringify(plain).slice(1, -1) }));
  }

  text(text: string): string {
    const ranges: [begin: number, end: number][] = [];
    for (const { plain } of this.forms) {
      for (let at = text.indexOf(plain); at >= 0; at = text.indexOf(plain, at + 1)) ranges.push([at, at + plain.length]);
    }
    if (ranges.length === 0) return text;
    ranges.sort(([a], [b]) => a - b);
    let [shown, done] = ['', 0];
    for (const [begin, end] of ranges) {
      if (begin >= done) shown += text.slice(done, begin) + HIDDEN; // else it overlaps the one before
      done = Math.max(done, end);
    }
    return shown + text.slice(done);
  }

  /** All strings of a value made of plain objects and lists, except under the names in VERBATIM. Names themselves stay. */
  value<T>(value: T): T {
    return this.forms.length === 0 ? value : (this.within(value) as T);
  }

  /** As JSON.stringify; its structure cannot be damaged. */
  json(value: unknown): string {
    const text = JSON.stringify(value);
    return this.isIn(text) ? JSON.stringify(this.within(JSON.parse(text))) : text;
  }

  /** One line of JSON, its newline included. */
  line(line: string): string {
    return this.isIn(line) ? `${JSON.stringify(this.within(JSON.parse(line)))}\n` : line;
  }

  private isIn(json: string): boolean {
    return this.forms.some((form) => json.includes(form.json));
  }

  private within(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.within(item));
    if (typeof value !== 'object' || value === null) return value;
    const isReference = 'key' in value; // { key, value }: there the value is a text
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        const verbatim = VERBATIM.has(key) && (typeof item !== 'object' || Array.isArray(item)) && !(isReference && key === 'value');
        return [key, verbatim ? item : this.within(item)];
      }),
    );
  }
}

/** Of this process: whatever reads a configuration, an argument or a password adds to it. */
export const redactor = new Redactor();

function formsOf(secret: string): string[] {
  const plain = [secret, ...decoded(secret)];
  return plain.flatMap((text) => {
    const encoded = !/\p{Cs}/u.test(text) ? [encodeURIComponent(text), encodeURI(text), encodeAll(text)] : [];
    const escaped = [text.replace(/["\\]/g, '\\$&'), text.replaceAll(' ', '\\ '), text.replace(/["\\ ]/g, '\\$&')];
    return [text, ...encoded, ...encoded.map(lowerHex), ...escaped];
  });
}

/** Percent-decoded as UTF-8, as it looks where that is none, and byte by byte. */
function decoded(text: string): string[] {
  if (!/%[0-9a-f]{2}/i.test(text)) return [];
  const bytes = Buffer.concat(text.split(/(%[0-9a-f]{2})/i).map((part, i) => (i % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part))));
  return [bytes.toString('utf8'), bytes.toString('latin1')];
}

/** Everything but letters, digits and what no parser minds. */
export function encodeAll(text: string): string {
  return text.replace(/[^\w.~-]/gu, (character) => encodeURIComponent(character).replace(/^[!'()*]$/, (c) => `%${hex(c)}`));
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).toUpperCase();
}

function lowerHex(text: string): string {
  return text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
}
