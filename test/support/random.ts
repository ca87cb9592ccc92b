/** A small deterministic generator, so that a failing case can be had again from its seed. */
export class Random {
  constructor(private state: number) {}

  /** 0 <= n < limit, whole. */
  below(limit: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  text(letters: readonly string[], least: number, most: number): string {
    return Array.from({ length: least + this.below(most - least + 1) }, () => this.pick(letters)).join('');
  }
}
