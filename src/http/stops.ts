/** Text as it is written, up to the first of some strings, of which no part is ever shown. */
export class Stops {
  private held = ''; // may be the beginning of one
  private found = false;

  constructor(private readonly stops: readonly string[]) {}

  /** Nothing more is shown. */
  get reached(): boolean {
    return this.found;
  }

  /** What can be shown now, perhaps nothing. */
  push(piece: string): string {
    if (this.found) return '';
    const text = this.held + piece;
    const places = this.stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    this.found = places.length > 0;
    const shown = this.found ? Math.min(...places) : text.length - this.begun(text);
    this.held = this.found ? '' : text.slice(shown);
    return text.slice(0, shown);
  }

  /** What was held back, when nothing more comes. */
  end(): string {
    const { held } = this;
    this.held = '';
    return held;
  }

  /** Characters at the end that one of them begins with. */
  private begun(text: string): number {
    const longest = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    let count = Math.min(text.length, longest);
    while (count > 0 && !this.stops.some((stop) => stop.startsWith(text.slice(text.length - count)))) count--;
    return count;
  }
}
