/** Answers of the model that an interrupted replay leaves behind, so that the next one goes on where it was: one file, a line an answer. */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { KeptAnswer } from './recorded-eyes.js';

export class KeptAnswers {
  private readonly answers = new Map<string, KeptAnswer>();

  /** `about`: what an answer depends on besides frame and question. Throws what reading says; a line that was cut off counts for nothing. */
  constructor(
    private readonly path: string,
    private readonly about: string,
  ) {
    if (!existsSync(path)) return;
    for (const text of readFileSync(path, 'utf8').split('\n')) {
      try {
        const { key, ...answer } = JSON.parse(text);
        this.answers.set(key, answer);
      } catch {}
    }
  }

  get(frame: string, question: string): KeptAnswer | null {
    return this.answers.get(this.key(frame, question)) ?? null;
  }

  /** Throws what writing says. */
  add(frame: string, question: string, answer: KeptAnswer): void {
    appendFileSync(this.path, `\n${JSON.stringify({ key: this.key(frame, question), ...answer })}`); // behind what may have been cut off
  }

  private key(frame: string, question: string): string {
    return createHash('sha256')
      .update(JSON.stringify([this.about, frame, question]))
      .digest('base64url')
      .slice(0, 16);
  }
}
