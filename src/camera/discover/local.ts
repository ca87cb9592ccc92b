/** Cameras of this machine, from what the kernel says about them. Opens none of them. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type LocalCamera, plain } from './found.js';

/** Names of CSI sensors under NVIDIA's driver: "vi-output, imx219 10-0010". */
const CSI = /^vi-output, *(.*)$/;

/** `root` stands for `/`; for tests. */
export async function localCameras(root = '/'): Promise<LocalCamera[]> {
  const base = join(root, 'sys/class/video4linux');
  const nodes = (await names(base)).filter((name) => /^video\d+$/.test(name)).sort((a, b) => numberOf(a) - numberOf(b));
  const stable = await stableNames(root);
  const found: LocalCamera[] = [];
  let sensor = 0;
  for (const node of nodes) {
    if ((await text(join(base, node, 'index'))) !== '0') continue; // what follows the first node of a device is not its pictures
    const name = plain((await text(join(base, node, 'name'))) ?? node);
    const csi = CSI.exec(name);
    if (csi !== null) found.push({ kind: 'csi', uri: `csi://${sensor++}`, name: csi[1] as string });
    else found.push({ kind: 'v4l2', uri: `v4l2://${stable.get(node) ?? `/dev/${node}`}`, name });
  }
  return found;
}

/** Video node → its name by what is plugged in, which stays when numbers change. */
async function stableNames(root: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const folder of ['dev/v4l/by-path', 'dev/v4l/by-id']) {
    for (const name of (await names(join(root, folder))).sort()) {
      const target = await readlink(join(root, folder, name)).catch(() => null);
      if (target !== null) found.set(basename(target), `/${folder}/${name}`); // by-id last: it stays when the port changes too
    }
  }
  return found;
}

function numberOf(node: string): number {
  return Number(node.slice('video'.length));
}

function names(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function text(path: string): Promise<string | null> {
  return (await readFile(path, 'utf8').catch(() => '')).trim() || null;
}
