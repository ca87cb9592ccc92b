/**
 * Answers on disk, so that a run that was killed goes on where it was: a JSON object a line, appended as they come. The first line is what they depend
 * on; a last line that was cut off counts for nothing.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, closeSync, existsSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { dataError, type Item } from './item.js';
import type { Answered } from './score.js';

interface Line extends Answered {
  id: string;
  /** Of prompt and picture: the data may have changed since. */
  of: string;
}

export class Answers {
  private readonly lines = new Map<string, Line>();

  /** `about`: what the answers depend on besides question and picture. Throws ERR_OPTION where the file is about something else, or is damaged. */
  constructor(
    private readonly path: string | null,
    about: Readonly<Record<string, string>>,
  ) {
    if (path === null) return;
    const header = JSON.stringify(about);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const end = text.lastIndexOf('\n') + 1;
    if (end < text.length) cut(path, Buffer.byteLength(text.slice(0, end)));
    const [first, ...rest] = text.slice(0, end).split('\n').slice(0, -1);
    if (first === undefined) appendFileSync(path, `${header}\n`);
    else if (first !== header) throw dataError(`${path}:1`, header, first);
    for (const [index, line] of rest.entries()) {
      const read = parsed(line);
      if (read === undefined) throw dataError(`${path}:${index + 2}`, 'an answer', JSON.stringify(line.slice(0, 60)));
      this.lines.set(read.id, read);
    }
  }

  /** Of a run that has ended, whatever it was about. Throws ERR_OPTION. */
  static kept(path: string): Answers {
    const header = existsSync(path) ? (readFileSync(path, 'utf8').split('\n', 1)[0] as string) : '';
    if (header === '') throw dataError(path, 'answers', 'none');
    return new Answers(path, JSON.parse(header));
  }

  get(item: Item): Answered | undefined {
    const line = this.lines.get(item.id);
    return line?.of === digest(item) ? line : undefined;
  }

  /** Throws what writing says. */
  add(answers: readonly { item: Item; answer: Answered }[]): void {
    const lines = answers.map(({ item, answer: { text, confidence, ms } }): Line => ({ id: item.id, of: digest(item), text, confidence, ms }));
    if (this.path !== null) appendFileSync(this.path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    for (const line of lines) this.lines.set(line.id, line);
  }
}

function parsed(text: string): Line | undefined {
  try {
    const line = JSON.parse(text);
    return typeof line.id === 'string' && typeof line.of === 'string' && typeof line.text === 'string' ? line : undefined;
  } catch {
    return undefined;
  }
}

function cut(path: string, bytes: number): void {
  const file = openSync(path, 'r+');
  ftruncateSync(file, bytes);
  closeSync(file);
}

function digest({ prompt, picture }: Item): string {
  return createHash('sha256')
    .update(JSON.stringify([prompt, picture.key]))
    .digest('base64url')
    .slice(0, 12);
}

/** Twelve hexadecimal digits that change with any prompt or its place. */
export function promptHash(items: readonly Item[]): string {
  const hash = createHash('sha256');
  for (const { id, prompt } of items) hash.update(JSON.stringify([id, prompt]));
  return hash.digest('hex').slice(0, 12);
}
