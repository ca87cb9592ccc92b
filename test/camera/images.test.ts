import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import type { Picture } from '../../src/camera/frame.js';
import { jpegOf } from '../../src/camera/jpeg.js';
import { openSource } from '../../src/camera/source.js';
import { all, descriptors, take } from './support.js';

const open = (uri: string, sidePx = 384) => openSource(uri, { sidePx });
const painted = (width: number, height: number, background: string) => sharp({ create: { width, height, channels: 3, background } });

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-images-'));
  await painted(64, 48, '#ff0000').jpeg().toFile(join(folder, 'a.jpg'));
  await painted(640, 480, '#00ff00').png().toFile(join(folder, 'b.PNG'));
  await painted(480, 640, '#0000ff').webp({ lossless: true }).toFile(join(folder, 'd.webp'));
  writeFileSync(join(folder, 'c.jpg'), 'no picture');
  writeFileSync(join(folder, 'notes.txt'), 'not meant');
  writeFileSync(join(folder, '.hidden.jpg'), 'not meant');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The colour that a picture begins with. */
const color = ({ data }: Picture) => ['red', 'green', 'blue'][[...data.subarray(0, 3)].findIndex((value) => value > 200)];

describe('images://', () => {
  it('shows JPEG, PNG and WebP by name, scaled down and never up, and tells of files that are no pictures', async () => {
    const drops: [string, string | undefined][] = [];
    const pictures: Picture[] = [];
    const before = descriptors();
    for await (const picture of open(`images://${folder}?fps=0`).open(new AbortController().signal, (reason, detail) => drops.push([reason, detail])))
      pictures.push(picture);
    expect(pictures.map(color)).toEqual(['red', 'green', 'blue']);
    expect(pictures.map(({ width, height, format }) => [width, height, format])).toEqual([
      [64, 48, 'rgb'],
      [384, 288, 'rgb'],
      [288, 384, 'rgb'],
    ]);
    expect(drops).toEqual([
      ['unreadable', expect.stringMatching(/\.hidden\.jpg: /)],
      ['unreadable', expect.stringMatching(/c\.jpg: /)],
    ]);
    expect(descriptors()).toBe(before);
  });

  it.each([
    ['*.PNG', ['green']],
    ['[ab].*', undefined],
    ['*.*p*', ['red', 'blue']],
    ['%3F.webp', ['blue']],
  ])('takes %s', async (glob, colors) => {
    const reading = all(open(`images://${folder}/${glob}?fps=0`));
    if (colors === undefined) await expect(reading).rejects.toMatchObject({ code: 'ERR_CAMERA' });
    else expect((await reading).map(color)).toEqual(colors);
  });

  it('passes a damaged picture over, and takes one with something behind its end', async () => {
    const inside = mkdtempSync(join(tmpdir(), 'mipha-damaged-'));
    const whole = await sharp('test/fixtures/eval/pictures/0003.png').jpeg().toBuffer();
    writeFileSync(join(inside, 'a.jpg'), Buffer.from(whole).fill(0, Math.floor(whole.length / 2)));
    writeFileSync(join(inside, 'b.jpg'), Buffer.concat([whole, Buffer.alloc(512)]));
    writeFileSync(join(inside, 'c.jpg'), whole.subarray(0, -2));
    const drops: [string, string | undefined][] = [];
    const pictures: Picture[] = [];
    for await (const picture of open(`images://${inside}?fps=0`).open(new AbortController().signal, (reason, detail) => drops.push([reason, detail])))
      pictures.push(picture);
    rmSync(inside, { recursive: true });
    expect(pictures).toHaveLength(1);
    expect(drops).toEqual(['a', 'c'].map((name) => ['unreadable', expect.stringMatching(new RegExp(`${name}\\.jpg: damaged jpeg: `))]));
  });

  it('takes a relative path and a path with spaces', async () => {
    const [picture] = await take(open('images://test/fixtures/eval/pictures?fps=0'), 1);
    expect([picture?.width, picture?.height]).toEqual([320, 240]);
    const spaced = join(folder, 'a folder 100%');
    mkdirSync(spaced);
    await painted(8, 8, '#0000ff').png().toFile(join(spaced, 'x.png'));
    for (const path of [spaced, encodeURI(spaced)]) expect((await all(open(`images://${path}?fps=0`))).map(color)).toEqual(['blue']);
  });

  it('turns pictures upright, and takes gray, transparent and 16-bit ones', async () => {
    const odd = join(folder, 'odd');
    mkdirSync(odd);
    await painted(40, 20, '#ff0000').jpeg().withMetadata({ orientation: 6 }).toFile(join(odd, 'a.jpg'));
    await painted(8, 8, '#00ff00').ensureAlpha(0.5).png().toFile(join(odd, 'b.png'));
    await painted(8, 8, '#ffffff').toColourspace('b-w').png().toFile(join(odd, 'c.png'));
    await painted(8, 8, '#0000ff').toColourspace('rgb16').png().toFile(join(odd, 'd.png'));
    const pictures = await all(open(`images://${odd}?fps=0`));
    expect(pictures.map(({ width, height, data }) => [width, height, data.length / width / height])).toEqual([
      [20, 40, 3],
      [8, 8, 3],
      [8, 8, 3],
      [8, 8, 3],
    ]);
    expect(pictures.map(color)).toEqual(['red', 'green', 'red', 'blue']); // white begins with a full red
  });

  it.each([
    ['', 'ended after 3 pictures; add ?loop=true to go round'],
    ['?fps=0', 'ended after 3 pictures; add &loop=true to go round'],
    ['?fps=0&loop=false', 'ended after 3 pictures; loop=true goes round'],
  ])('says at the end of one pass (%s) what makes it go on', async (query, words) => {
    const uri = `images://${folder}${query === '' ? '/%3F.*' : ''}${query}`;
    const camera = new Camera({ id: 'c', source: open(uri), stallMs: 60_000, frozenMs: 0 });
    camera.start();
    await camera.done;
    expect(camera.status()).toMatchObject({ state: 'offline', error: `${uri}: ${words}` });
  });

  it('goes round where asked', async () => {
    expect((await take(open(`images://${folder}?fps=0&loop=true`), 7)).map(color).join()).toBe('red,green,blue,red,green,blue,red');
  });

  it('keeps its pace, and passes over pictures where the reader is slow', async () => {
    const began = performance.now();
    await all(open(`images://${folder}/%3F.*?fps=10`));
    expect(performance.now() - began).toBeGreaterThan(290);
    const drops: string[] = [];
    let seen = 0;
    for await (const _ of open(`images://${folder}/*.PNG?fps=100&loop=true`).open(new AbortController().signal, (reason) => drops.push(reason))) {
      if (++seen === 3) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(drops.length).toBeGreaterThan(10);
    expect(new Set(drops)).toEqual(new Set(['unread']));
  });

  it.each([
    ['a folder that is not there', 'images:///no/such/folder', /\/no\/such\/folder: expected a folder of pictures/],
    ['a folder without pictures', 'images://src/camera', /src\/camera: no JPEG, PNG or WebP file there/],
    ['a glob that finds nothing', 'images://test/fixtures/eval/pictures/*.gif', /pictures\/\*\.gif: no JPEG, PNG or WebP file there/],
  ])('names %s', async (_, uri, text) => {
    await expect(all(open(uri))).rejects.toMatchObject({ code: 'ERR_CAMERA', message: expect.stringMatching(text) });
  });

  it('gives up when no file can be read, going round or not', async () => {
    for (const loop of [true, false])
      await expect(all(open(`images://${folder}/c.*?fps=0&loop=${loop}`))).rejects.toMatchObject({
        code: 'ERR_CAMERA',
        message: expect.stringMatching(/none of the 1 files there is a readable picture/),
      });
  });
});

describe('jpegOf', () => {
  it('makes a JPEG of a frame, scaled down and never up', async () => {
    const [picture] = await take(open(`images://${folder}/b.PNG`), 1);
    const small = await jpegOf(picture as Picture, { maxSidePx: 100, quality: 90 });
    const { format, width, height } = await sharp(small.data).metadata();
    expect([format, width, height, small.width, small.height]).toEqual(['jpeg', 100, 75, 100, 75]);
    expect((await sharp(small.data).stats()).dominant.g).toBeGreaterThan(200);
    const same = await jpegOf(picture as Picture, { maxSidePx: 4000, quality: 80 });
    expect([same.width, same.height]).toEqual([384, 288]);
  });

  it('takes gray frames', async () => {
    const { data } = await jpegOf({ data: new Uint8Array(64).fill(200), width: 8, height: 8, format: 'gray' }, { maxSidePx: 8, quality: 90 });
    expect((await sharp(data).stats()).channels[0]?.mean).toBeCloseTo(200, -1);
  });
});
