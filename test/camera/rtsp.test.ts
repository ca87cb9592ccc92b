import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import { openSource } from '../../src/camera/source.js';
import { describeWith } from '../support/programs.js';
import { children, take, until } from './support.js';

const VIDEO = 'videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width=640,height=480,framerate=15/1';
const H264 = `${VIDEO} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0`;
const H265 = `${VIDEO} ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph265pay name=pay0`;
const AUDIO_FIRST = `audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 ${H264.replace('pay0', 'pay1')}`;
const BACKOFF = { firstMs: 200, mostMs: 1000 };

describeWith(['gstreamer', 'rtspServer'], 'An RTSP camera', () => {
  let folder: string;
  let binary: string;
  let server: ChildProcess | undefined;
  const cameras: Camera[] = [];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mipha-rtsp-'));
    binary = join(folder, 'rtsp-server');
    const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'gstreamer-rtsp-server-1.0'], { encoding: 'utf8' }).trim().split(/\s+/);
    execFileSync('gcc', ['-o', binary, fileURLToPath(new URL('rtsp-server.c', import.meta.url)), ...flags]);
  });
  afterEach(async () => {
    await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
    await kill();
    expect(children()).toEqual([]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function serve(port: number, pipeline = H264, ...login: string[]): Promise<ChildProcess> {
    const child = spawn(binary, [String(port), `( ${pipeline} )`, ...login], { stdio: ['ignore', 'pipe', 'inherit'] });
    server = child;
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    return child;
  }

  async function kill(): Promise<void> {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  }

  function camera(id: string, uri: string): Camera {
    const made = new Camera({ id, source: openSource(uri, { sidePx: 128 }), stallMs: 2000, frozenMs: 0, backoff: BACKOFF });
    cameras.push(made);
    made.start();
    return made;
  }

  it.each([
    ['H.264', H264],
    ['H.265', H265],
    ['H.264 behind sound', AUDIO_FIRST],
  ])('shows %s', async (_, pipeline) => {
    const port = await freePort();
    await serve(port, pipeline);
    const pictures = await take(openSource(`rtsp://127.0.0.1:${port}/live?channel=1&subtype=0`, { sidePx: 128 }), 20);
    expect(pictures.map(({ width, height }) => `${width}x${height}`)).toEqual(Array.from({ length: 20 }, () => '128x96'));
    expect(new Set(pictures.map(({ data }) => Buffer.from(data).toString('latin1'))).size).toBe(20);
  });

  it('logs in, and shows its password in the arguments of its process only', async () => {
    const port = await freePort();
    await serve(port, H264, 'anna', 'p@ss "w/ord\\!');
    const uri = `rtsp://anna:${encodeURIComponent('p@ss "w/ord\\!')}@127.0.0.1:${port}/live`;
    expect(openSource(uri, { sidePx: 128 }).name).toBe(`rtsp://***@127.0.0.1:${port}/live`);
    expect((await take(openSource(uri, { sidePx: 128 }), 2)).length).toBe(2);
    const wrong = camera('wrong', `rtsp://anna:wrong-password@127.0.0.1:${port}/live`);
    await until('a refusal', () => wrong.state === 'offline');
    expect(wrong.status().error).toMatch(/[Uu]nauthorized|[Nn]ot authorized/);
    expect(wrong.status().error).not.toMatch(/wrong-password/);
  });

  it('is lost and comes back by itself, and no other camera notices', async () => {
    const port = await freePort();
    const first = await serve(port);
    const lost = camera('lost', `rtsp://127.0.0.1:${port}/live`);
    const other = camera('other', 'gst:videotestsrc is-live=true pattern=snow ! video/x-raw,framerate=30/1');
    const otherStates: string[] = [];
    await until('both online', () => lost.state === 'online' && other.state === 'online');
    other.on('state', (state) => otherStates.push(state));
    let [gap, last] = [0, performance.now()]; // longest silence of the other camera
    other.on('frame', ({ monotonicMs }) => {
      gap = Math.max(gap, monotonicMs - last);
      last = monotonicMs;
    });

    first.kill('SIGSTOP'); // the connection stays open, nothing comes
    const paused = performance.now();
    await until('the pause noticed', () => lost.state !== 'online');
    expect(performance.now() - paused).toBeLessThan(20_000);
    expect(lost.status()).toMatchObject({ state: 'stalled', stalls: 1, error: expect.stringMatching(/no frame/) });
    await until('tried in vain', () => lost.status().restarts >= 1);
    first.kill('SIGCONT');
    await until('back after the pause', () => lost.state === 'online');

    await kill();
    const killed = performance.now();
    await until('the death noticed', () => lost.state !== 'online');
    expect(performance.now() - killed).toBeLessThan(20_000);
    const restarts = lost.status().restarts;
    await until('tried again and again', () => lost.status().restarts >= restarts + 3);
    expect(lost.status()).toMatchObject({ state: 'offline', error: expect.stringMatching(/[Cc]onnect/) });
    const before = lost.status().frames;
    await serve(port);
    await until('back after the death', () => lost.state === 'online' && lost.status().frames > before + 5);

    expect(otherStates).toEqual([]);
    expect(other.status()).toMatchObject({ state: 'online', restarts: 0, stalls: 0 });
    expect(gap).toBeLessThan(2000);
  });

  it('has a child that can be stopped without harm', async () => {
    const port = await freePort();
    await serve(port);
    const watched = camera('child', `rtsp://127.0.0.1:${port}/live`);
    await until('online', () => watched.state === 'online');
    const [pid] = children();
    process.kill(pid as number, 'SIGSTOP');
    await until('the stop noticed', () => watched.state === 'stalled');
    await until('another child delivers', () => watched.state === 'online');
    expect(children()).not.toContain(pid);
    expect(children().length).toBe(1);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
