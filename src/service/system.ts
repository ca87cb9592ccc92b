/** What this machine says about itself: temperatures, power, memory, and whether its clock is right. Read from files; what cannot be read is left out. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export class System {
  /** `root` stands for `/`; for tests. */
  constructor(private readonly root = '/') {}

  /** Degrees Celsius by thermal zone, e.g. { 'cpu-thermal': 41.5 }. Zones of the same type are numbered. */
  async temperatures(): Promise<Record<string, number>> {
    const base = join(this.root, 'sys/class/thermal');
    const readings: [string, number][] = [];
    for (const zone of await this.entries(base, /^thermal_zone\d+$/)) {
      const type = await this.text(join(base, zone, 'type'));
      const milli = await this.number(join(base, zone, 'temp'));
      // zones that are switched off say 0 or far below
      if (type !== null && milli !== null && milli > -40_000 && milli < 200_000) readings.push([type, milli / 1000]);
    }
    return numbered(readings);
  }

  /** Watts by rail, from INA3221 sensors as on Jetson boards: volts times amperes of each labelled channel. Empty elsewhere. */
  async watts(): Promise<Record<string, number>> {
    const base = join(this.root, 'sys/class/hwmon');
    const readings: [string, number][] = [];
    for (const sensor of await this.entries(base, /^hwmon\d+$/)) {
      if ((await this.text(join(base, sensor, 'name'))) !== 'ina3221') continue;
      for (const channel of [1, 2, 3]) {
        const rail = await this.text(join(base, sensor, `in${channel}_label`));
        const millivolts = await this.number(join(base, sensor, `in${channel}_input`));
        const milliamperes = await this.number(join(base, sensor, `curr${channel}_input`));
        if (rail !== null && millivolts !== null && milliamperes !== null) readings.push([rail, (millivolts * milliamperes) / 1e6]);
      }
    }
    return numbered(readings);
  }

  /** Whether systemd-timesyncd has set the clock since the machine was started. Null: another service keeps it, or none. */
  async clockSynced(): Promise<boolean | null> {
    const folder = join(this.root, 'run/systemd/timesync');
    if (await exists(join(folder, 'synchronized'))) return true;
    return (await exists(folder)) ? false : null;
  }

  memory(): { rssBytes: number; heapBytes: number } {
    const { rss, heapUsed } = process.memoryUsage();
    return { rssBytes: rss, heapBytes: heapUsed };
  }

  private async entries(folder: string, pattern: RegExp): Promise<string[]> {
    const names = await readdir(folder).catch(() => [] as string[]);
    return names.filter((name) => pattern.test(name)).sort((a, b) => Number(a.replace(/\D/g, '')) - Number(b.replace(/\D/g, '')));
  }

  private async text(path: string): Promise<string | null> {
    const text = await readFile(path, 'utf8').catch(() => ''); // a sensor that sleeps answers with an error
    return text.trim() || null;
  }

  private async number(path: string): Promise<number | null> {
    const text = await this.text(path);
    return text !== null && /^-?\d+$/.test(text) ? Number(text) : null;
  }
}

function numbered(readings: [string, number][]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const [name, value] of readings) {
    let free = name;
    for (let n = 2; Object.hasOwn(result, free); n++) free = `${name}-${n}`;
    result[free] = value;
  }
  return result;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
