import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configSchema } from '../../src/service/config/schema.js';
import { OnvifDevice } from '../camera/discover/device.js';
import { mipha } from './run.js';

const PASSWORD = 'of-the-front-door';
let folder = '';
let camera: OnvifDevice;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-cameras-'));
  await writeFile(join(folder, 'password'), `${PASSWORD}\n`);
  camera = await OnvifDevice.start({
    name: 'Front door',
    login: { user: 'viewer', password: PASSWORD },
    streams: [
      { token: 'main', width: 3840, height: 2160, uri: 'rtsp://127.0.0.1:554/main' },
      { token: 'sub', width: 704, height: 576, uri: 'rtsp://127.0.0.1:554/sub' },
      { token: 'tiny', width: 352, height: 288, uri: 'rtsp://127.0.0.1:554/tiny' },
    ],
  });
});
afterAll(async () => {
  await camera.stop();
  await rm(folder, { recursive: true });
});

const access = () => ['--host', `127.0.0.1:${camera.port}`, '--user', 'viewer', '--password-file', join(folder, 'password')];

describe('mipha cameras', () => {
  it('prints a configuration that works as it stands, with the smallest stream that is large enough', async () => {
    const { code, stdout, stderr } = await mipha(['cameras', ...access()]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { cameras } = parse(stdout) as { cameras: Record<string, object> };
    expect(cameras).toMatchObject({ 'front-door': { uri: 'rtsp://127.0.0.1:554/sub' } });
    expect(configSchema.safeParse({ node: 'n', mqtt: { url: 'mqtt://127.0.0.1' }, cameras }).success).toBe(true);
    expect(stdout).toContain('# with a login, in the environment: MIPHA_CONFIG_CAMERAS__FRONT_DOOR__URI=rtsp://USER:PASSWORD@127.0.0.1:554/sub');
    expect(stdout).toContain('# or rtsp://127.0.0.1:554/main (3840 x 2160 H264 main stream)');
    expect(stdout).not.toContain(PASSWORD);
  });

  it('says which camera asks for a login', async () => {
    const { code, stdout } = await mipha(['cameras', '--host', `127.0.0.1:${camera.port}`]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/# 127\.0\.0\.1, 127\.0\.0\.1:\d+: it asks for a login; --user and --password-file give one/);
  });

  it('prints everything as JSON', async () => {
    const { stdout } = await mipha(['cameras', '--json', ...access()]);
    const { cameras } = JSON.parse(stdout) as { cameras: { kind: string; streams: object[] }[] };
    expect(cameras.find(({ kind }) => kind === 'onvif')?.streams).toHaveLength(3);
  });

  it('names what it cannot use', async () => {
    const refusal = async (...args: string[]) => (await mipha(['cameras', ...args])).stderr;
    expect(await refusal('--user', 'viewer')).toContain('--user together with --password-file');
    expect(await refusal('--user', 'viewer', '--password-file', join(folder, 'none'))).toContain('cannot be read');
    expect(await refusal('--interface', 'nowhere0')).toContain('received "nowhere0"');
    expect(await refusal('--wait', '900')).toContain('seconds from 0.1 to 60');
  });

  it('can leave the network alone', async () => {
    expect(await mipha(['cameras', '--no-network'])).toMatchObject({ code: 0, stderr: '' });
  });
});
