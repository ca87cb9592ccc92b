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
  ...[
    'answer',
    'api',
    'backend',
    'camera',
    'choices',
    'code',
    'content_type',
    'dropped',
    'event_type',
    'frame',
    'from',
    'id',
    'incoming',
    'key',
    'labels',
    'level',
    'lifecycle',
    'model',
    'node',
  ],
  ...[
    'ns',
    'observed',
    'outcome',
    'overrides',
    'part',
    'phase',
    'previous',
    'product',
    'pool',
    'protocol',
    'question',
    'release',
    'restart_required',
    'result',
    'rev',
    'schemas',
    'session',
    'sha256',
    'state',
    'status',
  ],
  ...[
    'text',
    'throttled',
    'time',
    'timezone',
    'to',
    'topic',
    'transaction',
    'trigger',
    'ts',
    'type',
    'valid_until',
    'value',
    'verb',
    'verbs',
    'version',
    'watch',
    'way',
  ],
]);

export class Redactor {
  private readonly known = new Set<string>();
  private readonly inText = new Needles();
  /** As they stand in the strings of JSON. */
  private readonly inJson = new Needles();

  constructor(secrets: Iterable<string> = []) {
    this.add(secrets);
  }

  /** Each is hidden in the forms in which programs print it: as it is, percent-encoded, decoded, with backslashes. */
  add(secrets: Iterable<string>): void {
    for (const form of [...new Set(secrets)].flatMap(formsOf)) {
      if (form.length < SHORTEST || this.known.has(form)) continue;
      this.known.add(form);
      this.inText.add(form);
      this.inJson.add(JSON.stringify(form).slice(1, -1));
    }
  }

  text(text: string): string {
    let [shown, done] = ['', 0];
    for (let begin = this.inText.next(text, 0); begin >= 0; begin = this.inText.next(text, begin + 1)) {
      if (begin >= done) shown += text.slice(done, begin) + HIDDEN; // else it overlaps the one before
      done = Math.max(done, begin + this.inText.longestAt(text, begin));
    }
    return done === 0 ? text : shown + text.slice(done);
  }

  /** All strings of a value made of plain objects and lists, except under the names in VERBATIM. Names themselves stay. */
  value<T>(value: T): T {
    return this.known.size === 0 ? value : (this.within(value) as T);
  }

  /** As JSON.stringify; its structure cannot be damaged. */
  json(value: unknown): string {
    const text = JSON.stringify(value);
    return this.inJson.next(text, 0) >= 0 ? JSON.stringify(this.within(JSON.parse(text))) : text;
  }

  /** One line of JSON, its newline included. */
  line(line: string): string {
    return this.inJson.next(line, 0) >= 0 ? `${JSON.stringify(this.within(JSON.parse(line)))}\n` : line;
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

/** Many strings looked for at once: most places of a text are passed over by a look at their first four characters. */
class Needles {
  private readonly starts = new Uint8Array(65_536);
  private readonly byStart = new Map<number, string[]>();

  /** At least SHORTEST characters. */
  add(needle: string): void {
    const start = startAt(needle, 0);
    this.starts[start] = 1;
    const same = this.byStart.get(start);
    if (same === undefined) this.byStart.set(start, [needle]);
    else same.push(needle);
  }

  /** Where one begins, from `from` on; -1: nowhere. */
  next(text: string, from: number): number {
    if (this.byStart.size === 0) return -1;
    for (let at = from; at <= text.length - SHORTEST; at++) {
      if (this.starts[startAt(text, at)] === 1 && this.longestAt(text, at) > 0) return at;
    }
    return -1;
  }

  /** Characters of the longest that begins there. */
  longestAt(text: string, at: number): number {
    const candidates = this.byStart.get(startAt(text, at)) ?? [];
    return candidates.reduce((longest, needle) => (needle.length > longest && text.startsWith(needle, at) ? needle.length : longest), 0);
  }
}

function startAt(text: string, at: number): number {
  return (text.charCodeAt(at) ^ (text.charCodeAt(at + 1) << 4) ^ (text.charCodeAt(at + 2) << 8) ^ (text.charCodeAt(at + 3) << 11)) & 0xffff;
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
