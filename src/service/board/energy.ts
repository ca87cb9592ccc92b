/** Energy, from power that is read now and then, and what an answer took of it. */

interface Sum {
  joules: number;
  answers: number;
}

/** Readings that answers are compared over. */
const REMEMBERED = 120;
/** A machine that slept, or a sensor that did: what was drawn meanwhile is not known. */
const LONGEST_GAP_MS = 60_000;

export class Energy {
  private total = 0;
  private last: { watts: number; atMs: number } | null = null;
  private readonly sums: Sum[] = [];

  /** Since the start; null: this machine has no meter. */
  get joules(): number | null {
    return this.last === null && this.sums.length === 0 ? null : this.total;
  }

  /** `watts` of the whole board, null: not read this time; `answers` since the start. */
  add(watts: number | null, answers: number, nowMs: number): void {
    if (watts === null) {
      this.last = null;
      return;
    }
    const { last } = this;
    if (last !== null && nowMs - last.atMs <= LONGEST_GAP_MS) this.total += (((last.watts + watts) / 2) * (nowMs - last.atMs)) / 1000;
    else this.sums.length = 0;
    this.last = { watts, atMs: nowMs };
    this.sums.push({ joules: this.total, answers });
    if (this.sums.length > REMEMBERED) this.sums.shift();
  }

  /** Of the whole board, idle or not, over the last readings, shared among the answers of that time. Null: no meter, or no answer. */
  perAnswer(): number | null {
    const [first, last] = [this.sums[0], this.sums.at(-1)];
    if (first === undefined || last === undefined || last.answers === first.answers) return null;
    return (last.joules - first.joules) / (last.answers - first.answers);
  }
}
