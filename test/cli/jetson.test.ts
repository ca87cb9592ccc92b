import { describe, expect, it } from 'vitest';
import { cudaVersion, fastestPowerMode, l4tRelease, librariesNamed, powerMode, versionInName } from '../../src/cli/jetson.js';

const LDCONFIG = `1412 libs found in cache \`/etc/ld.so.cache'
\tlibnvinfer_plugin.so.10 (libc6,AArch64) => /lib/aarch64-linux-gnu/libnvinfer_plugin.so.10
\tlibnvinfer.so.10 (libc6,AArch64) => /lib/aarch64-linux-gnu/libnvinfer.so.10
\tlibnvinfer.so.8 (libc6,AArch64) => /opt/old/libnvinfer.so.8
\tlibnvinfer.so (libc6,AArch64) => /lib/aarch64-linux-gnu/libnvinfer.so
\tlibcudart.so.12 (libc6,AArch64) => /usr/local/cuda/targets/aarch64-linux/lib/libcudart.so.12
`;

describe('texts of a Jetson', () => {
  it.each([
    ['JetPack 6.2', '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n', '36.4.3'],
    ['JetPack 7.1', '# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic, EABI: aarch64, DATE: Fri Jan  9 12:30:09 UTC 2026\n', '38.4.0'],
    ['JetPack 7.2', '# R39 (release), REVISION: 2.0, GCID: 45000001, BOARD: generic, EABI: aarch64, DATE: Mon Jun  1 09:00:00 UTC 2026\n', '39.2.0'],
    ['another file', 'Ubuntu 22.04\n', null],
  ])('%s', (_, text, release) => {
    expect(l4tRelease(text)).toBe(release);
  });

  it('reads the power mode and the fastest one', () => {
    expect(powerMode('NV Power Mode: 15W\n0\n')).toEqual({ name: '15W', id: 0 });
    expect(powerMode('NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN_SUPER\n2\n')).toEqual({ name: 'MAXN_SUPER', id: 2 });
    expect(powerMode('NVPM ERROR: failed to read\n')).toBeNull();
    const orin = '< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=25W >\n';
    expect(fastestPowerMode(`${orin}< POWER_MODEL ID=3 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >`)).toEqual({
      name: 'MAXN_SUPER',
      id: 2,
    });
    expect(fastestPowerMode(`${orin}< POWER_MODEL ID=3 NAME=MAXN >`)).toEqual({ name: 'MAXN', id: 3 });
    expect(fastestPowerMode(orin)).toBeNull();
  });

  it('finds libraries by their whole name, the newest first', () => {
    expect(librariesNamed('libnvinfer', LDCONFIG)).toEqual(['/lib/aarch64-linux-gnu/libnvinfer.so.10', '/opt/old/libnvinfer.so.8']);
    expect(librariesNamed('libnvonnxparser', LDCONFIG)).toEqual([]);
    expect(versionInName('/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0')).toBe('10.3.0');
    expect(versionInName('/lib/libnvinfer.so')).toBe('');
    expect(cudaVersion(12060)).toBe('12.6');
    expect(cudaVersion(13000)).toBe('13.0');
  });
});
