/** Labels beside the answers they are about: those on record, and those to the same frames now. */

import type { Label } from '../record/labels.js';
import type { AnswerLine } from '../record/lines.js';
import type { WatchOutcome } from '../watch/outcome.js';
import type { Value } from '../watch/spec.js';
import type { LabelReport } from './report.js';
import { bestThreshold, type Judged, scoreOf } from './score.js';

export class Judgements {
  private readonly before: Judged[] = [];
  private readonly now: Judged[] = [];

  constructor(private readonly labels: ReadonlyMap<string, Label>) {}

  add(before: AnswerLine, { observed, confidence }: WatchOutcome): void {
    const label = this.labels.get(before.id);
    if (label === undefined || observed === null) return;
    const said = before.observed as Value;
    const truth = truthOf(label, said);
    const not = truth === null ? said : null;
    this.before.push({ observed: said, confidence: before.confidence, truth, not });
    this.now.push({ observed, confidence, truth, not });
  }

  /** Null without labels. `least`: min_confidence then and now. */
  result(positive: Value, missCost: number, least: { before: number; now: number }): LabelReport | null {
    if (this.labels.size === 0) return null;
    const score = { before: scoreOf(this.before, positive, least.before), now: scoreOf(this.now, positive, least.now) };
    return { positive, missCost, score, best: bestThreshold(this.now, positive, missCost), notAsked: this.labels.size - this.now.length };
  }
}

function truthOf({ verdict, value }: Label, said: Value): Value | null {
  if (verdict === 'right') return said;
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
  return typeof said === 'boolean' ? !said : null;
}
