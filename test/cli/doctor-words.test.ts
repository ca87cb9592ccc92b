/** What doctor says about machines that are not this one. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { SchemeReport } from '../../src/camera/inspect.js';
import type { Report } from '../../src/cli/doctor.js';
import { doctorLines } from '../../src/cli/doctor-words.js';

const scheme = (name: string, missing: string[] = [], fix: string | null = null): SchemeReport => ({
  scheme: name,
  example: `${name}://x`,
  ready: fix === null,
  variant: name === 'csi' ? 'nvidia' : 'plain',
  pipeline: `gst-launch-1.0 -q ${'element ! '.repeat(20)}fdsink`,
  missing,
  fix,
});
const ALL_PLUGINS = 'sudo apt-get install -y gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad';
const NVIDIA = 'sudo apt-get install -y nvidia-l4t-gstreamer';

const machine = (changes: Partial<Report> = {}): Report => ({
  ok: true,
  node: '20.20.2',
  platform: 'linux-x64',
  toolchain: [{ name: 'python3', version: 'Python 3.11.7' }],
  addon: { loaded: true, version: '0.1.0', reason: null, path: '/srv/mipha_edge.node', prebuilt: null, passedOver: [] },
  cpu: {
    model: 'Some Processor With A Rather Long Name @ 2.40GHz (engineering sample)',
    physicalCores: 6,
    threads: 6,
    compiled: ['avx2', 'scalar'],
    runnable: ['avx2', 'scalar'],
    amxRefusal: null,
    memoryBytes: 8e9,
    availableBytes: 6e9,
  } as Report['cpu'],
  backends: [
    { name: 'tensorrt', available: false, reason: 'no GPU' },
    { name: 'cpu', available: true, reason: null },
  ] as Report['backends'],
  gpu: null,
  cuda: null,
  packages: [{ folder: '/srv/models/mipha-3b', name: 'mipha-3b', weightsBytes: 3e9, cacheBytes: 1e9, isTooLarge: false, problem: null }],
  cameras: { gstreamer: '1.22.0', schemes: [scheme('synthetic'), scheme('rtsp'), scheme('csi', ['nvarguscamerasrc'], NVIDIA)] },
  problems: [],
  ...changes,
});
const say = (report: Report, verbose = false, width = 80) => doctorLines(report, { width, verbose });

describe('mipha doctor says', () => {
  it('first what runs, then that nothing is missing', () => {
    const lines = say(machine());
    expect(lines.slice(0, 5)).toEqual([
      'This machine can run: mipha-3b',
      '  backends: cpu (avx2, 6 cores)',
      '  cameras: synthetic, rtsp; on a Jetson only: csi',
      '',
      'Nothing is missing.',
    ]);
  });

  it('whether the addon was compiled here or comes from a package, and why another was not used', () => {
    const row = (changes: Partial<Report['addon']>) =>
      say(machine({ addon: { ...machine().addon, ...changes } }), false, 200).find((line) => line.startsWith('addon'));
    expect(row({})).toBe('addon            version 0.1.0, compiled here');
    expect(row({ prebuilt: '@mipha-edge/linux-x64' })).toBe('addon            version 0.1.0, prebuilt: @mipha-edge/linux-x64');
    const passedOver = [{ path: '@mipha-edge/linux-arm64', reason: 'it is version 0.0.9, expected 0.1.0' }];
    expect(row({ passedOver })).toBe(
      'addon            version 0.1.0, compiled here; not used: @mipha-edge/linux-arm64: it is version 0.0.9, expected 0.1.0',
    );
  });

  it('that the processor has AMX and may not use it', () => {
    const cpu = { ...(machine().cpu as NonNullable<Report['cpu']>), compiled: ['amx', 'avx512vnni'], runnable: ['avx512vnni'] };
    const lines = (amxRefusal: string | null) => say(machine({ cpu: { ...cpu, amxRefusal } }), true, 400);
    const row = (name: string, amxRefusal: string | null) => lines(amxRefusal).find((line) => line.startsWith(name));
    expect(row('processor', null)).not.toContain('AMX');
    expect(row('instructions', null)).toContain('amx (not on this processor), avx512vnni (used)');
    expect(row('processor', 'the kernel gives no tiles')).toContain('6 cores, 6 threads; its AMX is not used: the kernel gives no tiles');
    expect(row('instructions', 'the kernel gives no tiles')).toContain('amx (refused), avx512vnni (used)');
  });

  it('that nothing runs, and why', () => {
    const problems = [{ what: 'the native addon cannot be loaded', fix: 'npm rebuild mipha-edge (in a clone: npm run setup)' }];
    const addon = { loaded: false, version: null, reason: 'x', path: null, prebuilt: null, passedOver: [] };
    const lines = say(machine({ ok: false, addon, cpu: null, backends: [], problems }));
    expect(lines[0]).toBe('This machine can run: nothing yet');
    expect(lines.slice(2, 5)).toEqual(['Missing:', '  the native addon cannot be loaded:', '    npm rebuild mipha-edge (in a clone: npm run setup)']);
  });

  it('nothing of a package that does not fit the memory as if it ran', () => {
    const [entry] = machine().packages as [Report['packages'][number]];
    const problems = [{ what: '/srv/models/mipha-3b needs more than 4 GB, 2 GB are free', fix: 'close other programs, or take a smaller package' }];
    expect(say(machine({ packages: [{ ...entry, isTooLarge: true }], problems }))[0]).toBe('This machine can run: nothing yet');
  });

  it('once what several kinds of cameras lack, with a command that can be copied', () => {
    const schemes = [scheme('images'), ...['v4l2', 'rtsp', 'file'].map((name) => scheme(name, ['pnmenc'], ALL_PLUGINS))];
    const lines = say(machine({ cameras: { gstreamer: null, schemes } }));
    const at = lines.indexOf('  GStreamer for cameras v4l2, rtsp, file:');
    expect(at).toBeGreaterThan(0);
    const command = lines.slice(at + 1, lines.indexOf('', at)).join('\n');
    const typed = execFileSync('sh', ['-c', `sudo() { printf '%s ' sudo "$@"; }; ${command}`], { encoding: 'utf8' });
    expect(typed.trim()).toBe(ALL_PLUGINS);
  });

  it('how to bring the elements of a Jetson on a Jetson only', () => {
    const jetson = { jetson: { l4t: '36.4.3', jetpack: null, power: null } } as unknown as Report['gpu'];
    expect(say(machine()).join('\n')).not.toContain(NVIDIA);
    const onJetson = machine({ gpu: { ...jetson, problems: [] } as unknown as Report['gpu'] });
    expect(say(onJetson).join('\n')).toContain('nvarguscamerasrc for cameras csi:');
    expect(say(onJetson).join('\n')).toContain(NVIDIA);
  });

  it('all of it within 80 columns, pipelines only when asked', () => {
    const problems = [
      { what: 'python3, make, g++ not found: the addon cannot be compiled here', fix: `${ALL_PLUGINS} && sudo apt-get install -y python3 make g++` },
    ];
    const report = machine({ problems, cameras: { gstreamer: null, schemes: [scheme('rtsp', [], ALL_PLUGINS)] } });
    expect(say(report).filter((line) => line.length > 80)).toEqual([]);
    expect(say(report).join('\n')).not.toContain('gst-launch');
    expect(say(machine(), true).filter((line) => line.includes('gst-launch-1.0 -q'))).toHaveLength(2);
    expect(say(machine(), true).filter((line) => line.length > 80 && !line.startsWith('camera '))).toEqual([]);
  });
});
