/** What the texts of a Jetson and of the dynamic linker say. Pure: the caller reads the files and runs the commands. */
import { type PowerMode, powerModes } from '../service/board/nvpmodel.js';

/** L4T's release out of /etc/nv_tegra_release: "# R36 (release), REVISION: 4.3, GCID: …" is 36.4.3. null: not that file. */
export function l4tRelease(text: string): string | null {
  const match = /^# R(\d+) \(\w+\), REVISION: ([\d.]+)/m.exec(text);
  return match === null ? null : `${match[1]}.${match[2]}`;
}

/** `nvpmodel -q`: "NV Power Mode: 15W" and, on the next line, its number. */
export function powerMode(text: string): PowerMode | null {
  const match = /NV Power Mode:\s*(\S+)\s+(\d+)/.exec(text);
  return match === null ? null : { name: match[1] as string, id: Number(match[2]) };
}

/** The mode without a limit, out of /etc/nvpmodel.conf: MAXN_SUPER where there is one, else MAXN. Its number differs between boards. */
export function fastestPowerMode(conf: string): PowerMode | null {
  const modes = powerModes(conf);
  return modes.find(({ name }) => name === 'MAXN_SUPER') ?? modes.find(({ name }) => name === 'MAXN') ?? null;
}

/** Where `ldconfig -p` finds a library: "libnvinfer.so.10 (libc6,AArch64) => /usr/lib/aarch64-linux-gnu/libnvinfer.so.10"; the highest number first. */
export function librariesNamed(name: string, ldconfig: string): string[] {
  const lines = ldconfig.matchAll(/^\s*(\S+)\.so\.(\d+) \(.*\) => (\S+)$/gm);
  const found = [...lines].filter(([, library]) => library === name).map(([, , major, path]) => ({ major: Number(major), path: path as string }));
  return found.sort((a, b) => b.major - a.major).map(({ path }) => path);
}

/** "/usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0" → "10.3.0"; "" when the file's name has no number. */
export function versionInName(path: string): string {
  return /\.so\.([\d.]+)$/.exec(path)?.[1] ?? '';
}

/** 12060 → "12.6". */
export function cudaVersion(number: number): string {
  return `${Math.trunc(number / 1000)}.${Math.trunc((number % 1000) / 10)}`;
}
