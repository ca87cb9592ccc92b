/** Privacy masks: whatever brings the pictures, no frame has a pixel of what is covered. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Camera, type CameraOptions } from '../../src/camera/camera.js';
import type { Frame, Picture } from '../../src/camera/frame.js';
import { openCamera } from '../../src/camera/open.js';
import type { Polygon } from '../../src/camera/polygon.js';
import { openSource } from '../../src/camera/source.js';
import { sources } from '../architecture/sources.js';
import { MASK, PART, secret, told } from '../support/private-part.js';
import { describeWith } from '../support/programs.js';
import { gray, HandSource, until } from './support.js';

const CORNER: Polygon = [
  [0, 0],
  [0.1, 0],
  [0, 0.1],
];

/** What JPEG alone does to one colour. */
const TRACE = 0.04;

const isBlack = ({ data, width, format }: Frame, x: number, y: number) => {
  const channels = format === 'rgb' ? 3 : 1;
  const at = (y * width + x) * channels;
  return data.subarray(at, at + channels).every((value) => value === 0);
};

function handled(privacy: readonly Polygon[], options: Partial<CameraOptions> = {}): { camera: Camera; source: HandSource; frames: Frame[] } {
  const source = new HandSource();
  const camera = new Camera({ id: 'c', source, stallMs: 60_000, frozenMs: 0, privacy, ...options });
  const frames: Frame[] = [];
  camera.on('frame', (frame) => frames.push({ ...frame, data: Uint8Array.from(frame.data) }));
  camera.start();
  return { camera, source, frames };
}

/** The frames of an address until it ends, or so many of them. */
async function framesOf(uri: string, count: number, sidePx = 384): Promise<Frame[]> {
  const frames: Frame[] = [];
  const camera = new Camera({ id: 'c', source: openSource(uri, { sidePx }), stallMs: 30_000, frozenMs: 0, privacy: [MASK] });
  camera.on('frame', (frame) => frames.push({ ...frame, data: Uint8Array.from(frame.data) }));
  camera.start();
  await until(`${count} frames of ${uri}: ${camera.status().error}`, () => frames.length >= count || !camera.running);
  await camera.stop();
  expect(frames.length).toBeGreaterThanOrEqual(count);
  return frames;
}

describe('a mask', () => {
  it('is black in rgb and gray, at any size and while that changes, and nothing else is', async () => {
    const { camera, source, frames } = handled([MASK]);
    const sizes = [
      [64, 48],
      [48, 64],
      [320, 180],
      [33, 77],
    ] as const;
    for (const [width, height] of sizes) for (const format of ['rgb', 'gray'] as const) source.put(secret(width, height, format));
    await until('eight frames', () => frames.length === 8);
    for (const frame of frames) {
      expect(told(frame), `${frame.width} x ${frame.height} ${frame.format}`).toBe(0);
      expect(isBlack(frame, Math.round(0.4 * frame.width), Math.round(0.5 * frame.height))).toBe(true);
      const margin = 4; // the pixel that is touched, two around it, and the next is as it was
      expect(isBlack(frame, Math.floor(PART.left * frame.width) - margin, Math.round(0.5 * frame.height))).toBe(false);
      expect(isBlack(frame, Math.round(0.4 * frame.width), Math.floor(PART.bottom * frame.height) + margin)).toBe(false);
    }
    await camera.stop();
  });

  it('changes with the next frame, and the frame before is nobody’s any more', async () => {
    const { camera, source, frames } = handled([CORNER]);
    source.put(secret(64, 48));
    await until('a frame', () => frames.length === 1);
    expect(told(frames[0] as Frame)).toBe(1);
    expect(camera.slot.newest()).toBeDefined();
    camera.setPrivacy([MASK]);
    expect(camera.slot.newest()).toBeUndefined();
    source.put(secret(64, 48));
    await until('the next', () => frames.length === 2);
    expect(told(frames[1] as Frame)).toBe(0);
    expect(isBlack(frames[1] as Frame, 0, 0)).toBe(false);
    expect(frames[1]?.content).toBe(2); // other bytes
    await camera.stop();
    camera.setPrivacy([]);
    expect(camera.slot.newest()).toBeUndefined(); // a camera that has stopped keeps no frame of an earlier mask either
  });

  it('holds at every change of many, whatever the source does with its memory', async () => {
    const masks = [[MASK], [MASK, CORNER], [CORNER, MASK]];
    const same = secret(64, 48);
    const kept: Picture = { ...secret(64, 48), kept: true };
    const { camera, source, frames } = handled([MASK]);
    for (let round = 0; round < 60; round++) {
      camera.setPrivacy(masks[round % 3] as Polygon[]);
      source.put(round % 2 === 0 ? kept : round % 4 === 1 ? same : secret(64, 48));
      await until('a frame', () => frames.length === round + 1);
      expect(told(frames[round] as Frame)).toBe(0);
      if (round % 2 === 0) expect(isBlack(frames[round] as Frame, 0, 0)).toBe(round % 3 !== 0);
    }
    expect(told(kept)).toBe(1); // what a source keeps is not written to
    await camera.stop();
  });

  it('is there before pictures are compared: what happens behind it is no new picture', async () => {
    const { camera, source, frames } = handled([MASK]);
    const other = secret(64, 48);
    other.data.set([9, 9, 9], (24 * 64 + 26) * 3); // within
    const outside = secret(64, 48);
    outside.data.set([9, 9, 9], 0);
    for (const picture of [secret(64, 48), other, outside]) source.put(picture);
    await until('three frames', () => frames.length === 3);
    expect(frames.map(({ content }) => content)).toEqual([1, 1, 2]);
    await camera.stop();
  });

  it('gives memory back as ever', async () => {
    const { camera, source } = handled([MASK]);
    let given = 0;
    for (let i = 0; i < 3; i++) source.put({ ...secret(64, 48), giveBack: () => given++ });
    await until('two given back', () => given === 2);
    await camera.stop();
  });

  it.each([
    ['too few bytes', { ...secret(64, 48), data: new Uint8Array(64 * 48 * 3 - 1) }],
    ['too many', { ...secret(64, 48), data: new Uint8Array(64 * 48 * 3 + 1) }],
    ['no whole number of pixels', { ...secret(64, 48), width: 63.5 }],
    ['memory that has gone elsewhere', detached(secret(64, 48))],
  ])('that cannot be put over a picture stops the camera, in words, and there is no frame: %s', async (_, picture) => {
    const { camera, source, frames } = handled([MASK], { backoff: { firstMs: 60_000, mostMs: 60_000 } });
    source.put(picture);
    await until('offline', () => camera.state === 'offline');
    expect(camera.status().error).toMatch(/^The privacy mask cannot be put over a picture: expected its bytes without gaps, received \d+ bytes for /);
    expect(frames).toEqual([]);
    expect(camera.slot.newest()).toBeUndefined();
    await camera.stop();
  });

  it('takes from a drawn scene the words for what it shows', async () => {
    for (const frame of await framesOf('synthetic://kitchen?fps=50&change_ms=40', 6)) {
      expect(frame.truth).toBeUndefined();
      expect(isBlack(frame, 120, 120)).toBe(true);
      expect(isBlack(frame, 300, 20)).toBe(false);
    }
  });
});

describe('files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mipha-privacy-'));
    const sizes = [
      [640, 480],
      [1280, 720],
      [97, 211],
      [1920, 1080],
    ] as const;
    let name = 0;
    for (const [width, height] of sizes) {
      for (const orientation of [1, 3, 5, 6, 8]) {
        // as shown the secret is where the mask is: the file has it turned
        const { data } = secret(width, height);
        const inverse = { 1: [0, false], 3: [180, false], 5: [270, true], 6: [270, false], 8: [90, false] }[orientation] as [number, boolean];
        const upright = sharp(data, { raw: { width, height, channels: 3 } });
        const [angle, mirrored] = inverse;
        const turned = sharp(await (mirrored ? upright.flop() : upright).png().toBuffer()).rotate(angle);
        const file = join(folder, `${String(name++).padStart(2, '0')}.jpg`);
        await turned.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).withMetadata({ orientation }).toFile(file);
      }
      await sharp(secret(width, height).data, { raw: { width, height, channels: 3 } })
        .webp({ lossless: true })
        .toFile(join(folder, `${String(name++).padStart(2, '0')}.webp`));
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([384, 1280, 50])('of all sizes and orientations, scaled to %i', async (sidePx) => {
    const frames = await framesOf(`images://${folder}?fps=0`, 24, sidePx);
    expect(new Set(frames.map(({ width, height }) => `${width}x${height}`)).size).toBeGreaterThan(2);
    for (const [index, frame] of frames.entries()) {
      expect(told(frame), `file ${index}, ${frame.width} x ${frame.height}`).toBeLessThan(TRACE);
      expect(isBlack(frame, Math.round(0.4 * frame.width), Math.round(0.5 * frame.height))).toBe(true);
    }
  });

  it('show the secret without the mask, or this proves nothing', async () => {
    await using camera = openCamera(`images://${folder}?fps=0&loop=true`, { sidePx: 384 });
    for await (const frame of camera) {
      expect(told(frame)).toBeGreaterThan(0.9);
      break;
    }
  });
});

describeWith(['gstreamer'], 'GStreamer', () => {
  const PINK = 'foreground-color=0xffff00ff background-color=0xffff00ff pattern=solid-color';
  it.each([
    ['raw', `gst:videotestsrc ${PINK} ! video/x-raw,width=640,height=480`],
    ['raw gray', 'gst:videotestsrc pattern=white ! video/x-raw,format=GRAY8,width=640,height=480'],
    ['JPEG', `gst:videotestsrc ${PINK} ! video/x-raw,width=640,height=480 ! jpegenc ! image/jpeg`],
  ])('%s: every frame has the mask', async (_, uri) => {
    for (const frame of await framesOf(uri, 5)) {
      const { width, height } = frame;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const covered = x + 1 > PART.left * width && x < PART.right * width && y + 1 > PART.top * height && y < PART.bottom * height;
          if (covered && !isBlack(frame, x, y)) throw new Error(`${x}, ${y} is to be seen`);
        }
      }
      expect(isBlack(frame, 0, 0)).toBe(false);
    }
  });

  it('a stream whose pictures change their size', async () => {
    const part = (width: number) => `videotestsrc num-buffers=4 ${PINK} ! video/x-raw,width=${width},height=120,framerate=5/1 ! c.`;
    const frames = await framesOf(`gst:concat name=c ${part(160)} ${part(200)} c. ! identity sleep-time=100000`, 7);
    expect(new Set(frames.map(({ width }) => width)).size).toBe(2);
    for (const frame of frames) {
      for (const [x, y] of [
        [PART.left, PART.top],
        [PART.right, PART.bottom],
        [PART.right, PART.top],
        [0.4, 0.5],
      ] as const)
        expect(isBlack(frame, Math.round(x * frame.width), Math.round(y * frame.height))).toBe(true);
      expect(isBlack(frame, 0, 0)).toBe(false);
    }
  });
});

describe('openCamera', () => {
  it('takes polygons', async () => {
    await using camera = openCamera('synthetic://kitchen', { sidePx: 384, privacy: [MASK] });
    for await (const frame of camera) {
      expect(isBlack(frame, 120, 120)).toBe(true);
      break;
    }
  });

  it.each([
    ['no list', 'privacy', 'all'],
    ['no polygon', 'privacy[0]', [7]],
    ['two points', 'privacy[1]', [MASK, MASK.slice(2)]],
    ['65 points', 'privacy[0]', [Array.from({ length: 65 }, (_, i) => [i / 64, (i % 2) / 2])]],
    ['33 polygons', 'privacy', Array.from({ length: 33 }, () => MASK)],
    ['a point of one number', 'privacy[0][1]', [[[0, 0], [1], [1, 1]]]],
    ['a share above 1', 'privacy[0][2]', [[...MASK.slice(2), [0, 1.01]]]],
    ['no number', 'privacy[0][2]', [[...MASK.slice(2), [0, Number.NaN]]]],
    ['a line', 'privacy[0]', [[...CORNER.slice(0, 2), [0.05, 0]]]],
    ['one point three times', 'privacy[0]', [[CORNER[1], CORNER[1], CORNER[1]]]],
  ])('refuses %s by name', (_, option, privacy) => {
    const open = () => openCamera('synthetic://kitchen', { sidePx: 384, privacy: privacy as never });
    expect(open).toThrow(expect.objectContaining({ code: 'ERR_OPTION', details: expect.objectContaining({ option: `openCamera.${option}` }) }));
  });
});

it('has no way round: nobody but the camera reads a source, and nobody but it makes a frame', () => {
  const src = sources('src', ['.ts']);
  const having = (pattern: RegExp) => src.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
  expect(having(/ource\.open\(/)).toEqual(['src/camera/camera.ts']);
  expect(having(/: Frame = \{/)).toEqual(['src/camera/camera.ts']);
});

function detached(picture: Picture): Picture {
  structuredClone(picture.data.buffer, { transfer: [picture.data.buffer as ArrayBuffer] });
  return picture;
}

it('the pictures of the tests are what they should be', () => {
  expect([told(secret(10, 10)), told(secret(10, 10, 'gray')), told(gray(60))]).toEqual([1, 1, 0]);
});
