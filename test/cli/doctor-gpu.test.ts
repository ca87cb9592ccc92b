import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { TensorRtFacts } from '../../src/addon/addon.js';
import { examineGpu, gpuRows, type Machine, thisMachine } from '../../src/cli/doctor-gpu.js';

const FACTS: TensorRtFacts = {
  tensorrt: '10.3.0.30',
  headers: '10.3.0.26',
  gpu: 'Orin',
  computeCapability: 87,
  cudaRuntime: 12060,
  cudaDriver: 12060,
  integrated: true,
  totalBytes: 7.6e9,
  freeBytes: 5.1e9,
  interfaceVersion: 1,
};
const HEADERS = { folder: '/usr/include/aarch64-linux-gnu', version: '10.3.0.26', missing: [] as string[] };

/** An Orin Nano with JetPack 6.2 where everything is in place; `changes` takes something away. */
function orin(changes: Partial<Machine> = {}, files: Record<string, string | null> = {}): Machine {
  const texts: Record<string, string | null> = {
    '/etc/nv_tegra_release': '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n',
    '/etc/nvpmodel.conf': '< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n',
    ...files,
  };
  const outputs: Record<string, string> = {
    nvpmodel: 'NV Power Mode: MAXN_SUPER\n2\n',
    'dpkg-query': 'nvidia-jetpack\t6.2+b77\n',
    '/sbin/ldconfig': '\tlibnvinfer.so.10 (libc6,AArch64) => /lib/libnvinfer.so.10\n\tlibcudart.so.12 (libc6,AArch64) => /cuda/libcudart.so.12\n',
  };
  return {
    exists: () => true,
    read: (path) => texts[path] ?? null,
    run: (command) => outputs[command] ?? null,
    target: (path) => `${path}.3.0`,
    headers: () => HEADERS,
    facts: async () => FACTS,
    ...changes,
  };
}

async function look(machine: Machine) {
  const report = await examineGpu(machine);
  if (report === null) throw new Error('nothing seen');
  return { rows: Object.fromEntries(gpuRows(report)), problems: report.problems };
}

describe('mipha doctor on a GPU', () => {
  it('says nothing where there is none', async () => {
    expect(await examineGpu(orin({}, { '/etc/nv_tegra_release': null }))).toBeNull();
  });

  it('tells versions, board and power mode when all is there', async () => {
    const { rows, problems } = await look(orin());
    expect(rows).toEqual({
      TensorRT: '10.3.0.30',
      'TensorRT headers': '10.3.0.26 in /usr/include/aarch64-linux-gnu',
      'TensorRT shim': 'ready, compiled for 10.3.0.26',
      CUDA: '12.6, driver for 12.6',
      GPU: 'Orin, compute capability 8.7, 7.6 GB, 5.1 GB free, shared with the processor',
      JetPack: '6.2+b77, L4T 36.4.3',
      'power mode': 'MAXN_SUPER',
    });
    expect(problems).toEqual([]);
  });

  it('asks the script of setup for the headers', () => {
    const stub = fileURLToPath(new URL('../../native/test/tensorrt_stub', import.meta.url));
    process.env.MIPHA_TENSORRT_INCLUDE = stub;
    try {
      expect(thisMachine(null).headers()).toMatchObject({ folder: stub, missing: [] });
    } finally {
      delete process.env.MIPHA_TENSORRT_INCLUDE;
    }
  });

  it('names the first thing that is missing and what brings it', async () => {
    const jetpack = 'sudo apt-get update && sudo apt-get install -y nvidia-jetpack';
    const bare = orin({ exists: () => false, run: () => null, headers: () => null });
    expect(await look(bare)).toEqual({
      rows: {
        TensorRT: 'not found',
        'TensorRT headers': 'not found',
        'TensorRT shim': 'not compiled',
        CUDA: 'not found',
        JetPack: 'package nvidia-jetpack is not installed, L4T 36.4.3',
        'power mode': 'unknown: nvpmodel -q tells nothing',
      },
      problems: [{ what: 'TensorRT (libnvinfer) not found', fix: jetpack }],
    });
    const parserless = await look(orin({ exists: () => false, headers: () => ({ ...HEADERS, missing: ['NvOnnxParser.h'] }) }));
    expect(parserless.rows['TensorRT headers']).toBe('10.3.0.26 in /usr/include/aarch64-linux-gnu, without NvOnnxParser.h');
    expect(parserless.rows.TensorRT).toBe('10.3.0');
    expect(parserless.problems).toEqual([{ what: 'NvOnnxParser.h not found: the shim of TensorRT cannot be compiled', fix: jetpack }]);
    const uncompiled = await look(orin({ exists: () => false }));
    expect(uncompiled.problems).toEqual([{ what: 'the shim of TensorRT: not compiled', fix: 'npm rebuild mipha-edge (in a clone: npm run setup)' }]);
  });

  it('repeats the words of the compiler and of the library', async () => {
    const read = (path: string) => (path.endsWith('tensorrt-error.txt') ? 'this failed:\nshim.cc:3:1: error: no such type\n' : orin().read(path));
    expect((await look(orin({ exists: () => false, read }))).problems[0]?.what).toBe('the shim of TensorRT: shim.cc:3:1: error: no such type');
    const { rows, problems } = await look(orin({ facts: () => Promise.reject(new Error('expected TensorRT 10.7.0.23, received 10.3.0.30')) }));
    expect(rows['TensorRT shim']).toBe('expected TensorRT 10.7.0.23, received 10.3.0.30');
    expect(problems[0]?.what).toBe('TensorRT cannot be used: expected TensorRT 10.7.0.23, received 10.3.0.30');
  });

  it('says when the board could be faster', async () => {
    const run = (command: string) => (command === 'nvpmodel' ? 'NV Power Mode: 15W\n0\n' : orin().run(command));
    const { rows, problems } = await look(orin({ run }));
    expect(rows['power mode']).toBe('15W');
    expect(problems).toEqual([{ what: 'the power mode is 15W, MAXN_SUPER is faster', fix: 'sudo nvpmodel -m 2' }]);
  });

  it('on a PC asks for the packages of NVIDIA and tells nothing of a board', async () => {
    const pc = orin(
      { exists: () => false, run: () => null },
      { '/etc/nv_tegra_release': null, '/proc/driver/nvidia/version': 'NVRM version: 580.65' },
    );
    const { rows, problems } = await look(pc);
    expect(rows).not.toHaveProperty('JetPack');
    expect(problems).toEqual([
      {
        what: 'TensorRT (libnvinfer) not found',
        fix: "install TensorRT and CUDA with their headers from NVIDIA's packages (tensorrt-dev, cuda-toolkit)",
      },
    ]);
  });
});
