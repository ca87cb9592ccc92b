import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { System } from '../../../src/service/board/system.js';

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
      'sys/class/hwmon/hwmon4/name': 'ina238',
      'sys/class/hwmon/hwmon4/power1_input': '38250000',
    });
    expect(await new System(root).rails()).toEqual({ VDD_IN: 7.5, VIN: 38.25 });
  });

  it('tells what slows itself down, which a fan does not', async () => {
    await files({
      'sys/class/thermal/cooling_device0/type': 'cpufreq-cpu0',
      'sys/class/thermal/cooling_device0/cur_state': '0',
      'sys/class/thermal/cooling_device1/type': 'pwm-fan',
      'sys/class/thermal/cooling_device1/cur_state': '3',
    });
    expect(await new System(root).throttled()).toEqual([]);
    await files({
      'sys/class/thermal/cooling_device2/type': 'gpu-throttle-alert',
      'sys/class/thermal/cooling_device2/cur_state': '1',
      'sys/class/thermal/cooling_device3/type': 'devfreq-17000000.gpu',
      'sys/class/thermal/cooling_device3/cur_state': '7',
      'sys/class/thermal/cooling_device4/type': 'cpu-throttle-alert',
      'sys/class/thermal/cooling_device4/cur_state': '0',
    });
    expect(await new System(root).throttled()).toEqual(['devfreq-17000000.gpu', 'gpu-throttle-alert']);
  });

  it('tells how often its supply was too weak, and its power mode', async () => {
    await files({
      'sys/class/hwmon/hwmon5/name': 'soctherm_oc',
      'sys/class/hwmon/hwmon5/oc1_event_cnt': '0',
      'sys/class/hwmon/hwmon5/oc2_event_cnt': '15',
      'sys/class/hwmon/hwmon5/oc3_event_cnt': '37',
      'var/lib/nvpmodel/status': 'pmode:0002 fmode:quiet',
    });
    expect(await new System(root).overCurrents()).toEqual({ under_voltage: 0, average_over_current: 15, over_current: 37 });
    expect(await new System(root).powerMode()).toBe('mode 2');
    await files({ 'etc/nvpmodel.conf': '< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >' });
    expect(await new System(root).powerMode()).toBe('MAXN_SUPER');
  });

  it('tells whether its clock is right, as far as it knows', async () => {
    const system = new System(root);
    expect(await system.clockSynced()).toBeNull();
    await mkdir(join(root, 'run/systemd/timesync'), { recursive: true });
    expect(await system.clockSynced()).toBe(false);
    await files({ 'run/systemd/timesync/synchronized': '' });
    expect(await system.clockSynced()).toBe(true);
  });

  it('tells nothing where there is nothing', async () => {
    const system = new System(root);
    expect(await system.temperatures()).toEqual({});
    expect(await system.rails()).toEqual({});
    expect(await system.throttled()).toBeNull();
    expect(await system.overCurrents()).toBeNull();
    expect(await system.powerMode()).toBeNull();
    const here = new System(); // this very machine
    await Promise.all([here.temperatures(), here.rails(), here.throttled(), here.overCurrents(), here.powerMode()]);
  });
});
