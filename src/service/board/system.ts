/** What this machine says about itself: heat, power, memory, and whether its clock is right. Read from files; what cannot be read is left out. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { powerModes, presentModeId } from './nvpmodel.js';

/** Cooling devices that are slower processors, not faster fans. Linux: drivers/thermal; Jetson Linux: the `-alert` ones, when hardware throttles. */
const SLOWS_DOWN = /(^|-)(cpufreq|devfreq)(-|$)|-throttle-alert$|^Processor$/;
/** Of Orin and Thor, by number: Jetson Linux Developer Guide, "Over-Current Throttling". */
const OVER_CURRENTS = ['under_voltage', 'average_over_current', 'over_current'] as const;

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

  /** Watts by rail, from the sensors of Jetson boards: INA3221, volts times amperes of each labelled channel, and INA238, the supply. Empty elsewhere. */
  async rails(): Promise<Record<string, number>> {
    const base = join(this.root, 'sys/class/hwmon');
    const readings: [string, number][] = [];
    for (const sensor of await this.entries(base, /^hwmon\d+$/)) {
      const chip = await this.text(join(base, sensor, 'name'));
      const microwatts = chip === 'ina238' ? await this.number(join(base, sensor, 'power1_input')) : null;
      if (microwatts !== null) readings.push(['VIN', microwatts / 1e6]);
      if (chip !== 'ina3221') continue;
      for (const channel of [1, 2, 3]) {
        const rail = await this.text(join(base, sensor, `in${channel}_label`));
        const millivolts = await this.number(join(base, sensor, `in${channel}_input`));
        const milliamperes = await this.number(join(base, sensor, `curr${channel}_input`));
        if (rail !== null && millivolts !== null && milliamperes !== null) readings.push([rail, (millivolts * milliamperes) / 1e6]);
      }
    }
    return numbered(readings);
  }

  /** What slows itself down now because of heat, by the names of its cooling devices; null: this machine does not tell. */
  async throttled(): Promise<string[] | null> {
    const base = join(this.root, 'sys/class/thermal');
    const devices: { type: string; state: number }[] = [];
    for (const device of await this.entries(base, /^cooling_device\d+$/)) {
      const type = await this.text(join(base, device, 'type'));
      const state = await this.number(join(base, device, 'cur_state'));
      if (type !== null && state !== null && SLOWS_DOWN.test(type)) devices.push({ type, state });
    }
    if (devices.length === 0) return null;
    return [...new Set(devices.filter(({ state }) => state > 0).map(({ type }) => type))].sort();
  }

  /** How often the supply of a Jetson was too weak since it was switched on, by kind; null: this machine does not tell. */
  async overCurrents(): Promise<Record<string, number> | null> {
    const base = join(this.root, 'sys/class/hwmon');
    for (const sensor of await this.entries(base, /^hwmon\d+$/)) {
      if ((await this.text(join(base, sensor, 'name'))) !== 'soctherm_oc') continue;
      const counts: Record<string, number> = {};
      for (const [index, kind] of OVER_CURRENTS.entries()) {
        const count = await this.number(join(base, sensor, `oc${index + 1}_event_cnt`));
        if (count !== null) counts[kind] = count;
      }
      return counts;
    }
    return null;
  }

  /** The name of nvpmodel's mode, "MAXN_SUPER"; null: no Jetson, or it says nothing. */
  async powerMode(): Promise<string | null> {
    const status = await this.text(join(this.root, 'var/lib/nvpmodel/status'));
    const id = status === null ? null : presentModeId(status);
    if (id === null) return null;
    const modes = powerModes((await this.text(join(this.root, 'etc/nvpmodel.conf'))) ?? '');
    return modes.find((mode) => mode.id === id)?.name ?? `mode ${id}`;
  }

  /** Whether systemd-timesyncd has set the clock since the machine was started. Null: another service keeps it, or none. */
  async clockSynced(): Promise<boolean | null> {
    const folder = join(this.root, 'run/systemd/timesync');
    if (await exists(join(folder, 'synchronized'))) return true;
    return (await exists(folder)) ? false : null;
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
