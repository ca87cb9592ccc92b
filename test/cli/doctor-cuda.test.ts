/** What doctor says of CUDA on machines that are not this one, from the texts of their files and programs. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CudaFacts } from '../../src/addon/addon.js';
import { cudaLibrary, packageRoot } from '../../src/addon/load.js';
import type { Report } from '../../src/cli/doctor.js';
import { type CudaMachine, type CudaSources, cudaRows, cudaSources, examineCuda } from '../../src/cli/doctor-cuda.js';
import { doctorLines } from '../../src/cli/doctor-words.js';

/** What scripts/cuda-toolkit.mjs looks at. */
interface Texts {
  environment: Record<string, string>;
  files: Record<string, string>; // path → text
  folders: Record<string, string[]>;
  outputs: Record<string, string>; // of a command with its arguments
}
const { examine } = (await import(join(packageRoot(), 'scripts', 'cuda-toolkit.mjs'))) as { examine(machine: object): CudaMachine };
const { architecturesHere, compilerHere } = (await import(join(packageRoot(), 'scripts', 'cuda-library.mjs'))) as Record<
  'architecturesHere' | 'compilerHere',
  (machine: object) => unknown
>;

function machineOf({ environment, files, folders, outputs }: Texts) {
  return {
    environment,
    exists: (path: string) => path in files,
    read: (path: string) => files[path] ?? null,
    list: (folder: string) => folders[folder] ?? [],
    run: (...words: string[]) => outputs[words.join(' ')] ?? null,
  };
}

const nvcc = (version: string, folder = '/usr/local/cuda/bin') => ({
  files: { [`${folder}/nvcc`]: '' },
  outputs: { [`${folder}/nvcc --version`]: `nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release ${version}, V${version}.68\n` },
});
const LIBCUDA = { '/sbin/ldconfig -p': '\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1\n' };
const QUERY = 'nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader';

function merge(...parts: Partial<Texts>[]): Texts {
  const all = <K extends keyof Texts>(key: K): Texts[K] => Object.assign({}, ...parts.map((part) => part[key]));
  return { environment: { PATH: '/usr/bin', ...all('environment') }, files: all('files'), folders: all('folders'), outputs: all('outputs') };
}
const jetson = (chip: string, model: string, release: string): Partial<Texts> => ({
  files: {
    '/etc/nv_tegra_release': release,
    '/proc/device-tree/compatible': `nvidia,p3768\0nvidia,${chip}\0`,
    '/proc/device-tree/model': `${model}\0`,
  },
  folders: { '/dev': ['null', 'nvhost-gpu', 'nvmap'] },
  outputs: { '/sbin/ldconfig -p': '\tlibcuda.so.1 (libc6,AArch64) => /usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1\n' },
});
const ORIN = jetson('tegra234', 'NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super', '# R36 (release), REVISION: 4.3\n');
const PCI: Partial<Texts> = {
  files: {
    '/sys/bus/pci/devices/0000:01:00.0/vendor': '0x10de\n',
    '/sys/bus/pci/devices/0000:01:00.0/class': '0x030000\n',
    '/sys/bus/pci/devices/0000:00:02.0/vendor': '0x8086\n',
    '/sys/bus/pci/devices/0000:00:02.0/class': '0x030000\n',
  },
  folders: { '/sys/bus/pci/devices': ['0000:00:02.0', '0000:01:00.0'] },
};
const KERNEL: Partial<Texts> = {
  files: { '/proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)\n' },
};
const PC = merge(PCI, KERNEL, {
  folders: { '/dev': ['nvidia0', 'nvidiactl'], '/sys/bus/pci/devices': ['0000:01:00.0'] },
  outputs: {
    ...LIBCUDA,
    'nvidia-smi': '| NVIDIA-SMI 580.65.06   Driver Version: 580.65.06   CUDA Version: 13.0 |',
    [QUERY]: 'NVIDIA RTX A2000, 8.6\n',
  },
});

const FACTS: CudaFacts = {
  gpu: 'Orin',
  computeCapability: 87,
  cudaRuntime: 12060,
  cudaDriver: 12060,
  integrated: true,
  totalBytes: 7.6e9,
  freeBytes: 5.1e9,
  processors: 8,
  built: ['sm_87'],
};

/** `facts`: of the library; absent: it is not compiled. */
async function look(texts: Texts, facts?: CudaFacts | Error, failure: string | null = null) {
  const sources: CudaSources = {
    machine: () => examine(machineOf(texts)),
    exists: (path) => path === cudaLibrary() && facts !== undefined,
    read: (path) => (path.endsWith('cuda-error.txt') ? failure : null),
    facts: async () => {
      if (facts instanceof Error) throw facts;
      return facts as CudaFacts;
    },
  };
  const report = await examineCuda(sources);
  if (report === null) throw new Error('nothing seen');
  return { rows: Object.fromEntries(cudaRows(report)), problems: report.problems, report };
}

const JETPACK = 'sudo apt-get update && sudo apt-get install -y nvidia-jetpack';
const TOOLKIT = "install CUDA 12.6 or later from NVIDIA's packages (cuda-toolkit)";
const COMPILE = 'npm rebuild mipha-edge (in a clone: npm run build:cuda)';

describe('mipha doctor on CUDA', () => {
  it('says nothing where there is nothing of it', async () => {
    const nothing: CudaSources = { ...cudaSources(null), machine: () => examine(machineOf(merge({}))), exists: () => false };
    expect(await examineCuda(nothing)).toBeNull();
    expect(await examineCuda({ ...nothing, machine: () => null })).toBeNull();
  });

  it('asks the script about this machine', () => {
    expect(cudaSources(null).machine()).toMatchObject({ least: { version: '12.6', capability: 80 }, looked: expect.arrayContaining(['the PATH']) });
  });

  it('on an Orin with JetPack 6.2 finds nvcc, which is not on its PATH', async () => {
    const { rows, problems } = await look(merge(ORIN, nvcc('12.6')));
    expect(rows).toEqual({
      'CUDA compiler': 'nvcc 12.6 (/usr/local/cuda/bin/nvcc)',
      'CUDA driver': 'there',
      'CUDA library': 'not compiled',
      'CUDA GPU': 'NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super, compute capability 8.7',
    });
    expect(problems).toEqual([{ what: 'the CUDA backend: not compiled', fix: COMPILE }]);
  });

  it('on an Orin without nvcc says what brings it', async () => {
    const { rows, problems } = await look(merge(ORIN));
    expect(rows['CUDA compiler']).toBe('not found');
    expect(problems).toEqual([{ what: 'nvcc not found in /usr/local/cuda/bin, the PATH: the CUDA backend cannot be compiled', fix: JETPACK }]);
  });

  it('tells versions and GPU when all is there', async () => {
    const { rows, problems } = await look(merge(ORIN, nvcc('12.6')), FACTS);
    expect(rows).toEqual({
      'CUDA compiler': 'nvcc 12.6 (/usr/local/cuda/bin/nvcc)',
      'CUDA driver': 'there, for CUDA up to 12.6',
      'CUDA library': 'ready, CUDA 12.6 for sm_87',
      'CUDA GPU': 'Orin, compute capability 8.7, 8 multiprocessors, 7.6 GB, 5.1 GB free, shared with the processor',
    });
    expect(problems).toEqual([]);
    expect((await look(merge(ORIN), FACTS)).problems).toEqual([]); // compiled elsewhere: no compiler is needed
  });

  it('on a Thor takes the code of the shipped library', async () => {
    const thor = merge(jetson('tegra264', 'NVIDIA Jetson AGX Thor Developer Kit', '# R38 (release), REVISION: 2.0\n'), nvcc('13.0'), {
      folders: { '/dev': ['nvidia0'] },
    });
    const facts = { ...FACTS, gpu: 'NVIDIA Thor', computeCapability: 110, cudaRuntime: 13000, cudaDriver: 13000, processors: 20 };
    const shipped = await look(thor, { ...facts, built: ['sm_87', 'sm_90', 'sm_110', 'compute_80'] });
    expect(shipped.rows['CUDA library']).toBe('ready, CUDA 13.0 for sm_87, sm_90, sm_110, compute_80');
    expect(shipped.problems).toEqual([]);
    expect((await look(thor)).rows['CUDA GPU']).toBe('NVIDIA Jetson AGX Thor Developer Kit, compute capability 11.0');
  });

  it.each([
    [['sm_87'], 110, false],
    [['sm_87'], 89, false], // an Orin's code is an Orin's
    [['sm_86'], 87, false],
    [['sm_86'], 89, true],
    [['sm_90'], 89, false],
    [['compute_80'], 86, true],
    [['compute_90'], 89, false],
    [['sm_110', 'sm_87'], 87, true],
  ])('a library for %j on a GPU of capability %i: %j', async (built, computeCapability, runs) => {
    const { problems, rows } = await look(merge(ORIN, nvcc('12.6')), { ...FACTS, built, computeCapability });
    expect(problems).toEqual(
      runs ? [] : [{ what: `CUDA cannot be used: compiled for ${built.join(', ')}; the GPU (Orin) is sm_${computeCapability}`, fix: COMPILE }],
    );
    if (!runs) expect(rows['CUDA library']).toContain('compiled for');
  });

  it('on a PC with a driver asks for the toolkit', async () => {
    const { rows, problems } = await look(PC);
    expect(rows).toMatchObject({
      'CUDA compiler': 'not found',
      'CUDA driver': '580.65.06, for CUDA up to 13.0',
      'CUDA GPU': 'NVIDIA RTX A2000, compute capability 8.6',
    });
    expect(problems).toEqual([{ what: 'nvcc not found in /usr/local/cuda/bin, the PATH: the CUDA backend cannot be compiled', fix: TOOLKIT }]);
  });

  it('on a PC with a toolkit asks for the driver where there is a GPU, and for nothing where there is none', async () => {
    const toolkit = nvcc('12.8', '/opt/cuda/bin');
    const environment = { CUDA_HOME: '/opt/cuda' };
    const { rows, problems } = await look(merge(PCI, toolkit, { environment }));
    expect(rows).toMatchObject({ 'CUDA compiler': 'nvcc 12.8 (/opt/cuda/bin/nvcc)', 'CUDA driver': 'none', 'CUDA GPU': 'not seen by a driver' });
    expect(problems).toEqual([{ what: 'a GPU of NVIDIA without a driver', fix: expect.stringContaining("install NVIDIA's driver") }]);
    const server = await look(merge(toolkit, { environment }));
    expect(server).toMatchObject({ problems: [], rows: { 'CUDA GPU': 'none seen' } });
  });

  it('in a container without device nodes says how to start it', async () => {
    const container = merge(KERNEL, nvcc('12.6'), { files: { '/.dockerenv': '' }, folders: { '/dev': ['null', 'shm'] } });
    const what = 'a driver, but no GPU in /dev, as in a container without a GPU';
    expect((await look(container)).problems).toEqual([{ what, fix: 'start it with docker run --gpus all' }]);
    const board = merge(ORIN, { files: { '/.dockerenv': '' }, folders: { '/dev': ['null'] } });
    expect((await look(board)).problems).toEqual([{ what, fix: 'start it with docker run --runtime nvidia' }]);
  });

  it('names nvcc 11.4 of JetPack 5 as too old', async () => {
    const { rows, problems } = await look(merge(ORIN, nvcc('11.4')));
    expect(rows['CUDA compiler']).toBe('nvcc 11.4 (/usr/local/cuda/bin/nvcc), 12.6 is needed');
    expect(problems).toEqual([
      {
        what: 'nvcc 11.4 is too old for the CUDA backend, which needs 12.6',
        fix: 'install JetPack 6.2 or later, whose CUDA is 12.6 or later',
      },
    ]);
    const both = await look(merge(ORIN, nvcc('11.4'), nvcc('12.6', '/usr/bin')));
    expect(both.rows['CUDA compiler']).toBe('nvcc 12.6 (/usr/bin/nvcc)');
  });

  it('wants nothing of a board whose GPU is too old', async () => {
    const xavier = merge(jetson('tegra194', 'NVIDIA Jetson Xavier NX', '# R35 (release), REVISION: 4.1\n'), nvcc('11.4'));
    expect(await look(xavier)).toMatchObject({ problems: [], rows: { 'CUDA library': 'not for this GPU: compute capability 8.0 is needed' } });
  });

  it('repeats the words of compiler and library, with what helps', async () => {
    const failed = await look(PC, undefined, 'this failed: nvcc\nx.cu(3): error: identifier "y" is undefined\n');
    expect(failed.rows['CUDA library']).toBe('x.cu(3): error: identifier "y" is undefined');
    const words = async (texts: Texts, text: string) => (await look(texts, new Error(text))).problems[0];
    expect(await words(merge(PC, nvcc('14.0')), 'CUDA: CUDA driver version is insufficient for CUDA runtime version')).toEqual({
      what: 'CUDA cannot be used: CUDA: CUDA driver version is insufficient for CUDA runtime version',
      fix: 'install a driver for CUDA 14.0 or later, or compile with a CUDA toolkit that the driver runs',
    });
    expect((await words(merge(ORIN), 'CUDA: no CUDA-capable device is detected'))?.fix).toContain('usermod -aG video,render');
    expect((await words(PC, 'CUDA: x.so: expected interface 2, received 1'))?.fix).toBe(COMPILE);
  });

  it('stands in the report within 80 columns', async () => {
    const { report } = await look(merge(PCI, nvcc('12.8')));
    const whole = { problems: report.problems, cuda: report, gpu: null, cpu: null, backends: [], packages: [], toolchain: [] } as unknown as Report;
    const lines = doctorLines(
      {
        ...whole,
        ok: false,
        addon: { loaded: true, version: '1', reason: null, path: '', prebuilt: null, passedOver: [] },
        cameras: { gstreamer: null, schemes: [] },
      },
      { width: 80, verbose: true },
    );
    expect(lines.join('\n')).toContain('  a GPU of NVIDIA without a driver:');
    expect(lines).toContain('CUDA compiler    nvcc 12.8 (/usr/local/cuda/bin/nvcc)');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
  });
});

describe('npm run build:cuda', () => {
  it('says where it looked for nvcc and what brings it', () => {
    const bare = machineOf(merge({ environment: { CUDA_HOME: '/opt/cuda' } }));
    expect(() => compilerHere(bare)).toThrow(
      /^nvcc not found in \/opt\/cuda\/bin, \/usr\/local\/cuda\/bin, the PATH\. CUDA 12\.6 or later brings it: .*nvidia-jetpack/,
    );
    expect(() => compilerHere(machineOf(merge(nvcc('11.4'))))).toThrow(/^nvcc 12\.6 or later is needed, \/usr\/local\/cuda\/bin\/nvcc is 11\.4\./);
    expect(compilerHere(machineOf(merge(nvcc('12.10'))))).toMatchObject({ version: '12.10', isOld: false });
  });

  it('compiles for the GPUs that are there', () => {
    expect(architecturesHere(machineOf(merge(ORIN)))).toEqual(['87']);
    const cards = (text: string) => machineOf(merge(PC, { outputs: { [QUERY]: text } }));
    expect(architecturesHere(cards('NVIDIA H200, 9.0\nNVIDIA H200, 9.0\nNVIDIA RTX 2000 Ada, 8.9\nTesla V100, 7.0\n'))).toEqual(['89', '90']);
    const unasked = merge(PC, {
      outputs: { [QUERY]: 'Field "compute_cap" is not a valid field to query.', 'nvidia-smi -L': 'GPU 0: NVIDIA A10 (UUID: x)\n' },
    });
    expect(architecturesHere(machineOf(unasked))).toEqual(['ptx']);
    expect(() => architecturesHere(cards('Tesla V100, 7.0\n'))).toThrow(/needs compute capability 8\.0 or later, this machine has Tesla V100, 7\.0/);
    expect(() => architecturesHere(machineOf(merge({})))).toThrow(/no GPU is seen.*npm run build:cuda -- --all/);
  });
});
