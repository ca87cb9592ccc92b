import { afterEach, describe, expect, it } from 'vitest';
import { onvifCameras } from '../../../src/camera/discover/onvif.js';
import { type DeviceOptions, OnvifDevice } from './device.js';

const devices: OnvifDevice[] = [];
afterEach(() => Promise.all(devices.splice(0).map((device) => device.stop())));

async function device(options: DeviceOptions = {}): Promise<OnvifDevice> {
  const started = await OnvifDevice.start(options);
  devices.push(started);
  return started;
}

/** Of this test alone: other cameras may answer too. */
async function search(options = {}) {
  const { cameras, problems } = await onvifCameras({ interfaces: ['lo'], probeMs: 1000, requestMs: 1500, ...options });
  const foreign = ({ address }: { address: string }) => address !== '127.0.0.1' && !devices.some(({ port }) => address === `127.0.0.1:${port}`);
  return { cameras: cameras.filter((camera) => !foreign(camera)), problems };
}
const login = { user: 'viewer', password: 'of the front door' };

describe('a search of the network', () => {
  it('finds a camera and its streams, the largest first, without the login in their addresses', async () => {
    const { port } = await device({
      streams: [
        { token: 'sub', width: 640, height: 360, uri: 'rtsp://127.0.0.1:554/sub?a=1&b=2' },
        { token: 'main', width: 1920, height: 1080, uri: 'rtsp://admin:secret@127.0.0.1:554/main' },
      ],
    });
    expect(await search()).toEqual({
      problems: [],
      cameras: [
        {
          kind: 'onvif',
          address: `127.0.0.1:${port}`,
          name: 'Front door',
          hardware: 'IPC-1',
          streams: [
            { uri: 'rtsp://127.0.0.1:554/main', profile: 'main stream', encoding: 'H264', width: 1920, height: 1080 },
            { uri: 'rtsp://127.0.0.1:554/sub?a=1&b=2', profile: 'sub stream', encoding: 'H264', width: 640, height: 360 },
          ],
          problem: null,
          needsLogin: false,
        },
      ],
    });
  });

  it('says where a login is missing or wrong, and gives it as a digest', async () => {
    const { requests } = await device({ login });
    expect((await search()).cameras).toMatchObject([{ streams: [], problem: 'it asks for a login', needsLogin: true }]);
    expect(requests.some((request) => request.login)).toBe(false);
    expect((await search({ login: { ...login, password: 'another' } })).cameras).toMatchObject([
      { problem: 'it refuses this login', needsLogin: true },
    ]);
    expect((await search({ login })).cameras).toMatchObject([{ problem: null, streams: [{ width: 1920 }] }]);
  });

  it('asks one that is named, without a probe', async () => {
    const { port } = await device({ login });
    const { cameras } = await search({ hosts: [`127.0.0.1:${port}`], login });
    expect(cameras).toMatchObject([{ address: `127.0.0.1:${port}`, name: 'Front door', streams: [{ height: 1080 }] }]);
  });

  it('takes a login nowhere but to the address that answered', async () => {
    const elsewhere = await device({ login });
    await device({ xaddr: 'http://127.0.0.2:8899/onvif/device_service' });
    elsewhere.requests.splice(0);
    const { cameras } = await search({ login });
    expect(cameras.map(({ address }) => address)).toContain('127.0.0.1');
    expect(cameras.map(({ address }) => address)).not.toContain('127.0.0.2:8899');
  });

  it('lives through whatever others send, and finds the cameras', async () => {
    const garbage = [
      'hello',
      '<s:Envelope xmlns:s="x"><s:Body><Hello/></s:Body></s:Envelope>',
      '<e:Envelope xmlns:e="x"><e:Body><d:ProbeMatches><d:ProbeMatch/></d:ProbeMatches></e:Body></e:Envelope>', // without an address
      '<e:Envelope xmlns:e="x"><e:Body><d:ProbeMatches/></e:Body></e:Envelope>',
      '<a>'.repeat(5000),
    ];
    for (const text of garbage) await device({ garbage: text });
    await device({ name: 'Yard' });
    expect((await search()).cameras.map(({ name }) => name)).toEqual(['Yard']);
  });

  it('says of each camera what is wrong with it', async () => {
    const stream = { token: 'main', width: 1, height: 1 };
    await device({ name: 'no SOAP', httpGarbage: 'hello' });
    await device({ name: 'empty', httpGarbage: '<s:Envelope xmlns:s="x"><s:Body/></s:Envelope>' });
    await device({ name: 'silent', silent: true });
    await device({ name: 'no RTSP', streams: [{ ...stream, uri: 'http://127.0.0.1/video' }] });
    await device({ name: 'line feeds', streams: [{ ...stream, uri: 'rtsp://127.0.0.1/a\n  other: b' }] });
    const { cameras } = await search();
    expect(cameras.filter(({ streams }) => streams.length > 0)).toEqual([]);
    expect(Object.fromEntries(cameras.map(({ name, problem }) => [name, problem]))).toEqual({
      'no SOAP': expect.stringMatching(/\w/),
      empty: expect.stringMatching(/\w/),
      silent: expect.stringMatching(/timeout/i),
      'no RTSP': 'it names no RTSP stream',
      'line feeds': 'it names no RTSP stream',
    });
  });

  it('refuses a login that cannot be sent', async () => {
    await expect(search({ login: { ...login, user: '<admin>' } })).rejects.toThrow('Option user');
    await expect(search({ login: { ...login, password: 'pässwort' } })).rejects.toThrow(/Option password: (?!.*pässwort)/);
  });

  it('finds none where none is, and refuses networks and hosts that are none', async () => {
    expect((await search()).cameras).toEqual([]);
    await expect(search({ interfaces: ['lo', 'nowhere0'] })).rejects.toThrow(/Option interface: expected one of .*lo.*, received "nowhere0"/);
    await expect(search({ hosts: ['http://camera'] })).rejects.toThrow(/Option host: expected an address/);
    await expect(search({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
