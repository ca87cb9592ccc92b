import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVAL, mipha, NANO, node, ROOT } from './run.js';

describe('mipha doctor', () => {
  it('says first what this machine can run, and fits 80 columns', async () => {
    const { code, stdout } = await mipha(['doctor'], { cwd: ROOT });
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('This machine can run: mipha-nano');
    expect(stdout).toContain(process.versions.node);
    expect(stdout).toContain('mipha-nano in models/mipha-nano');
    expect(stdout).not.toContain('gst-launch-1.0 -q');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
  });

  it('shows everything with --verbose', async () => {
    const { code, stdout } = await mipha(['doctor', '--verbose']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/instructions .*\(used\)/);
    expect(stdout).toMatch(/^camera rtsp .*(gst-launch-1\.0 -q|lacks)/m);
  });

  it('gives the same as JSON', async () => {
    const { code, stdout } = await mipha(['doctor', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ ok: true, node: process.versions.node, addon: { loaded: true } });
    expect(report.cpu.runnable).toContain('scalar');
    expect(report.backends).toContainEqual(expect.objectContaining({ name: 'cpu', available: true }));
    const nano = report.packages.find(({ folder }: { folder: string }) => folder === NANO);
    expect(nano).toMatchObject({ name: 'mipha-nano', problem: null });
    expect(nano.weightsBytes).toBeGreaterThan(8e6);
  });

  it('tells for each kind of camera its pipeline, or what it lacks and the command that brings it', async () => {
    const { stdout } = await mipha(['doctor', '--json']);
    const { schemes } = JSON.parse(stdout).cameras as { schemes: { scheme: string; ready: boolean; pipeline: string | null; fix: string | null }[] };
    expect(schemes.map(({ scheme }) => scheme)).toEqual(['synthetic', 'images', 'v4l2', 'v4l2 mjpeg', 'csi', 'rtsp', 'file', 'gst']);
    for (const { scheme, ready, pipeline, fix } of schemes) {
      if (scheme === 'synthetic' || scheme === 'images') expect({ ready, pipeline }).toEqual({ ready: true, pipeline: null });
      else if (ready) expect(pipeline).toMatch(/^gst-launch-1\.0 -q .* ! (pnmenc|multipartmux) ! fdsink fd=3/);
      else expect(fix).toMatch(/apt-get install/);
    }
    const csi = schemes.find(({ scheme }) => scheme === 'csi');
    expect(csi?.pipeline).toContain('nvarguscamerasrc');
    const words = (await mipha(['doctor', '--verbose'])).stdout;
    for (const { scheme } of schemes) expect(words).toContain(`camera ${scheme} `);
  });

  it('names a folder that is no package, and how to make one', async () => {
    const { stdout } = await mipha(['doctor', EVAL]);
    expect(stdout.replace(/\n +/g, ' ')).toMatch(/test\/fixtures\/eval: no manifest\.json: not a package: mipha convert CHECKPOINT OUT/);
  });

  it('counts CUDA as a backend only where its library runs', async () => {
    const { stdout } = await mipha(['doctor', '--json'], { env: { MIPHA_CUDA: join(ROOT, 'package.json') } });
    const { backends, cuda } = JSON.parse(stdout);
    const reason = expect.stringMatching(/^CUDA: .*package\.json: /); // of the dynamic linker
    expect(backends).toContainEqual({ name: 'cuda', available: false, reason });
    expect(cuda.library).toMatchObject({ compiled: true, reason });
  });

  it('exits with 1 and the command to run when the compiler and the addon are missing', async () => {
    // A copy of dist alone, outside the repository's build folder, with nothing on the path.
    const folder = await mkdtemp(join(tmpdir(), 'mipha-doctor-'));
    try {
      await cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
      await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
      await writeFile(join(folder, 'package.json'), await readFile(join(ROOT, 'package.json')));
      const { code, stdout } = await node([join(folder, 'dist', 'cli', 'main.js'), 'doctor', '--json'], { env: { PATH: folder } });
      expect(code).toBe(1);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ ok: false, cpu: null, addon: { loaded: false } });
      const fixes = report.problems.map(({ fix }: { fix: string }) => fix).join('\n');
      expect(fixes).toContain('apt-get install -y python3 make g++');
      expect(fixes).toContain('npm run setup');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
