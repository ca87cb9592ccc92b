/** Heat and power of the machine, read every few seconds; what follows from them. */
import { Energy } from './energy.js';
import type { System } from './system.js';

export interface BoardOptions {
  system: System;
  /** Answers since the start. */
  answers: () => number;
  /** Some watch slows down by heat. */
  hasDuty: () => boolean;
  /** Of the hottest zone, degrees Celsius; null: this machine does not tell. */
  onHeat: (celsius: number | null) => void;
  /** A standing condition; null: it is over. */
  alert: (message: string | null) => void;
}

export interface BoardReadings {
  temperatures: Record<string, number>; // degrees Celsius by zone
  rails: Record<string, number>; // watts
  watts: number | null; // of the whole board
  powerMode: string | null;
  throttled: string[] | null;
  overCurrents: Record<string, number> | null;
  clockSynced: boolean | null;
}

const EVERY_MS = 5000;
/** A board that throttles does so again and again: the alert stays until it has been well for so long. */
const WELL_MS = 60_000;
const NO_SENSOR = 'Watches with `duty` cannot slow down by heat: this machine tells no temperature';

export class Board {
  private present: BoardReadings = {
    temperatures: {},
    rails: {},
    watts: null,
    powerMode: null,
    throttled: null,
    overCurrents: null,
    clockSynced: null,
  };
  private readonly energy = new Energy();
  private timer: NodeJS.Timeout | undefined;
  private throttledMs = Number.NEGATIVE_INFINITY;
  private told: string | null = null;
  private stopped = false;

  constructor(private readonly options: BoardOptions) {}

  get readings(): Readonly<BoardReadings> {
    return this.present;
  }

  /** Since the start; null: no meter. */
  get joules(): number | null {
    return this.energy.joules;
  }

  get joulesPerAnswer(): number | null {
    return this.energy.perAnswer();
  }

  /** Resolves after the first reading. */
  async begin(): Promise<void> {
    await this.read();
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.begin(), EVERY_MS).unref();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private async read(): Promise<void> {
    const { system, answers, onHeat } = this.options;
    const [temperatures, rails, powerMode, throttled, overCurrents, clockSynced] = await Promise.all([
      system.temperatures(),
      system.rails(),
      system.powerMode(),
      system.throttled(),
      system.overCurrents(),
      system.clockSynced(),
    ]);
    if (this.stopped) return;
    const watts = boardWatts(rails);
    this.present = { temperatures, rails, watts, powerMode, throttled, overCurrents, clockSynced };
    this.energy.add(watts, answers(), performance.now());
    this.judge();
    const celsius = Object.values(temperatures);
    onHeat(celsius.length === 0 ? null : Math.max(...celsius));
  }

  private judge(): void {
    const { temperatures, throttled } = this.present;
    const nowMs = performance.now();
    if (throttled !== null && throttled.length > 0) {
      this.throttledMs = nowMs;
      this.told = `The board is too hot and slows itself down: ${throttled.join(', ')}`;
    } else if (nowMs - this.throttledMs > WELL_MS) {
      this.told = Object.keys(temperatures).length === 0 && this.options.hasDuty() ? NO_SENSOR : null;
    }
    this.options.alert(this.told);
  }
}

/** Rails that together are the module, by board; the first whose rails are all there counts. Others are parts of these. */
const WHOLE_BOARDS = [
  ['VIN'], // Thor: of its INA238
  ['VDD_IN'], // Orin Nano, Orin NX
  ['VDD_GPU_SOC', 'VDD_CPU_CV', 'VIN_SYS_5V0'], // AGX Orin
  ['VDD_GPU', 'VDD_CPU_SOC_MSS', 'VIN_SYS_5V0'], // Thor
];

/** Null: the rails of this board are not known. */
export function boardWatts(rails: Readonly<Record<string, number>>): number | null {
  const known = WHOLE_BOARDS.find((names) => names.every((name) => Object.hasOwn(rails, name)));
  return known === undefined ? null : known.reduce((sum, name) => sum + (rails[name] as number), 0);
}
