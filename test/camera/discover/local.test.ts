import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { idsFor, plain } from '../../../src/camera/discover/found.js';
import { localCameras } from '../../../src/camera/discover/local.js';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mipha-cameras-'));
});
afterEach(() => rm(root, { recursive: true }));

async function node(number: number, name: string, index = 0): Promise<void> {
  const folder = join(root, `sys/class/video4linux/video${number}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'name'), `${name}\n`);
  await writeFile(join(folder, 'index'), `${index}\n`);
}

describe('cameras of this machine', () => {
  it('are the first nodes of their devices, under names that stay', async () => {
    await node(0, 'HD Webcam C920');
    await node(1, 'HD Webcam C920', 1); // its metadata
    await node(10, 'Another\u001b[31m');
    await mkdir(join(root, 'dev/v4l/by-id'), { recursive: true });
    await mkdir(join(root, 'dev/v4l/by-path'), { recursive: true });
    await symlink('../../video0', join(root, 'dev/v4l/by-id/usb-046d_C920-video-index0'));
    await symlink('../../video0', join(root, 'dev/v4l/by-path/platform-usb-0:1.2-video-index0'));
    await symlink('../../video10', join(root, 'dev/v4l/by-path/platform-usb-0:1.3-video-index0'));
    expect(await localCameras(root)).toEqual([
      { kind: 'v4l2', uri: 'v4l2:///dev/v4l/by-id/usb-046d_C920-video-index0', name: 'HD Webcam C920' },
      { kind: 'v4l2', uri: 'v4l2:///dev/v4l/by-path/platform-usb-0:1.3-video-index0', name: 'Another [31m' },
    ]);
  });

  it('are CSI sensors where the driver says so, numbered as they come', async () => {
    await node(0, 'vi-output, imx219 9-0010');
    await node(1, 'USB Camera');
    await node(2, 'vi-output, imx477 10-001a');
    expect(await localCameras(root)).toEqual([
      { kind: 'csi', uri: 'csi://0', name: 'imx219 9-0010' },
      { kind: 'v4l2', uri: 'v4l2:///dev/video1', name: 'USB Camera' },
      { kind: 'csi', uri: 'csi://1', name: 'imx477 10-001a' },
    ]);
  });

  it('are none where there is none', async () => {
    expect(await localCameras(root)).toEqual([]);
    await localCameras(); // of this very machine
  });
});

describe('what is found', () => {
  it('gets ids that a configuration takes, no two the same', () => {
    expect(idsFor(['Front Door', 'front door', 'Über-Kamera №1', '日本', '', 'x'.repeat(100)])).toEqual([
      'front-door',
      'front-door-2',
      'uber-kamera-no1',
      'camera',
      'camera-2',
      'x'.repeat(40),
    ]);
  });

  it('is shown in one line, whatever a device calls itself', () => {
    expect(plain('a\nb\u001b]0;title\u0007c\u202e', 80)).toBe('a b ]0;title c');
    expect(plain('x'.repeat(200))).toHaveLength(80);
  });
});
