import { afterEach, expect, it } from 'vitest';
import { Camera, type CameraOptions } from '../../src/camera/camera.js';
import { openSource } from '../../src/camera/source.js';
import { counts } from '../support/counts.js';
import { describeWith } from '../support/programs.js';
import { children, descriptors, until } from './support.js';

const LIVE = 'gst:videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1';
const BACKOFF = { firstMs: 50, mostMs: 200 };

describeWith(['gstreamer'], 'A supervised child process', () => {
  const cameras: Camera[] = [];
  afterEach(async () => {
    await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
    expect(children()).toEqual([]);
  });

  function camera(uri: string, options: Partial<CameraOptions> = {}): Camera {
    const made = new Camera({ id: 'c', source: openSource(uri, { sidePx: 128 }), stallMs: 1500, frozenMs: 0, backoff: BACKOFF, ...options });
    cameras.push(made);
    made.start();
    return made;
  }

  it('leaves no child and no descriptor after many restarts', async () => {
    const warmUp = camera(LIVE);
    await until('online', () => warmUp.state === 'online');
    await warmUp.stop();
    const before = descriptors();
    const restarted = camera(LIVE);
    const restarts = counts(12, 100);
    for (let i = 0; i < restarts; i++) {
      await until(`online the ${i + 1}. time`, () => restarted.state === 'online');
      expect(children().length).toBe(1);
      restarted.restart();
      await until('on its way', () => restarted.state === 'starting');
    }
    expect(restarted.status()).toMatchObject({ restarts, stalls: 0 });
    await restarted.stop();
    expect(children()).toEqual([]);
    expect(descriptors()).toBe(before);
  }, 120_000);

  it('leaves none after failures either', async () => {
    const before = descriptors();
    const failing = [camera('gst:nosuchelement'), camera('gst:videotestsrc num-buffers=1'), camera('file:///no/such.mp4')];
    await until('many failures', () => failing.every((one) => one.status().restarts >= 10));
    await Promise.all(failing.map((one) => one.stop()));
    expect(children()).toEqual([]);
    expect(descriptors()).toBe(before);
  });

  it('that is killed is started again, and another camera does not notice', async () => {
    const victim = camera(LIVE);
    await until('a child', () => children().length === 1 && victim.state === 'online');
    const [pid] = children();
    const other = camera(LIVE);
    await until('online', () => other.state === 'online');
    process.kill(pid as number, 'SIGKILL');
    await until('the death noticed', () => victim.state === 'offline');
    expect(victim.status().error).toMatch(/SIGKILL/);
    await until('back', () => victim.state === 'online');
    expect(other.status()).toMatchObject({ state: 'online', restarts: 0, stalls: 0 });
  });

  it('that is stopped is a stall, and another one takes its place', async () => {
    const stopped = camera(LIVE);
    await until('online', () => stopped.state === 'online');
    const [pid] = children();
    process.kill(pid as number, 'SIGSTOP');
    await until('the stall', () => stopped.state === 'stalled');
    await until('back', () => stopped.state === 'online');
    expect(children()).not.toContain(pid);
  });

  it('whose picture is frozen is a stall, and stays one while the picture stays', async () => {
    const frozen = camera('gst:videotestsrc is-live=true pattern=blue ! video/x-raw,width=320,height=240,framerate=30/1', { frozenMs: 1000 });
    await until('online', () => frozen.state === 'online');
    const states: string[] = [];
    frozen.on('state', (state) => states.push(state));
    await until('several stalls', () => frozen.status().stalls >= 3);
    expect(states).toEqual(['stalled']);
    expect(frozen.status().error).toBe('the same picture for 1000 ms');
    expect(frozen.status().dropped.frozen).toBeGreaterThan(10);
  });

  it('that plays a file to its end is not started again', async () => {
    const ended = camera('images://test/fixtures/eval/pictures?fps=0');
    await until('the end', () => ended.state === 'offline');
    expect(ended.status()).toMatchObject({
      restarts: 0,
      frames: 512,
      error: expect.stringMatching(/: ended after 512 pictures; add &loop=true to go round$/),
    });
  });
});
