import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { System } from '../../src/service/system.js';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mipha-system-'));
});
afterEach(() => rm(root, { recursive: true }));

async function files(contents: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(contents)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), `${text}\n`);
  }
}

describe('the machine', () => {
  it('tells the temperatures of its zones', async () => {
    await files({
      'sys/class/thermal/thermal_zone0/type': 'cpu-thermal',
      'sys/class/thermal/thermal_zone0/temp': '41500',
      'sys/class/thermal/thermal_zone1/type': 'gpu-thermal',
      'sys/class/thermal/thermal_zone1/temp': '-256000', // switched off
      'sys/class/thermal/thermal_zone2/type': 'cpu-thermal',
      'sys/class/thermal/thermal_zone2/temp': '42000',
      'sys/class/thermal/thermal_zone10/type': 'soc',
      'sys/class/thermal/thermal_zone3/type': 'no reading',
      'sys/class/thermal/cooling_device0/type': 'fan',
    });
    expect(await new System(root).temperatures()).toEqual({ 'cpu-thermal': 41.5, 'cpu-thermal-2': 42 });
  });

  it('tells the power of each rail', async () => {
    await files({
      'sys/class/hwmon/hwmon0/name': 'nvme',
      'sys/class/hwmon/hwmon3/name': 'ina3221',
      'sys/class/hwmon/hwmon3/in1_label': 'VDD_IN',
      'sys/class/hwmon/hwmon3/in1_input': '5000',
      'sys/class/hwmon/hwmon3/curr1_input': '1500',
      'sys/class/hwmon/hwmon3/in2_label': 'VDD_CPU_GPU_CV',
    });
    expect(await new System(root).watts()).toEqual({ VDD_IN: 7.5 });
  });

  it('tells whether its clock is right, as far as it knows', async () => {
    const system = new System(root);
    expect(await system.clockSynced()).toBeNull();
    await mkdir(join(root, 'run/systemd/timesync'), { recursive: true });
    expect(await system.clockSynced()).toBe(false);
    await files({ 'run/systemd/timesync/synchronized': '' });
    expect(await system.clockSynced()).toBe(true);
  });

  it('tells nothing where there is nothing, and its memory always', async () => {
    const system = new System(root);
    expect(await system.temperatures()).toEqual({});
    expect(await system.watts()).toEqual({});
    const { rssBytes, heapBytes } = system.memory();
    expect(rssBytes).toBeGreaterThan(heapBytes);
    expect(heapBytes).toBeGreaterThan(1e6);
    await new System().temperatures(); // of this very machine
  });
});
