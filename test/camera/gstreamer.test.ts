import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Picture } from '../../src/camera/frame.js';
import { openSource } from '../../src/camera/source.js';
import { describeWith } from '../support/programs.js';
import { all, children, descriptors, mean, take, until } from './support.js';

const open = (uri: string, sidePx = 384) => openSource(uri, { sidePx });

describeWith(['gstreamer'], 'GStreamer sources', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mipha-camera-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function clip(name: string, ...encoder: string[]): string {
    const path = join(folder, name);
    const camera = ['videotestsrc', 'pattern=smpte', 'num-buffers=15', '!', 'video/x-raw,format=I420,width=640,height=360,framerate=15/1'];
    // Quotes and backslashes would be taken by the parser of gst-launch, so the file is written under a plain name first.
    execFileSync('gst-launch-1.0', ['-q', ...camera, '!', ...encoder, '!', 'filesink', `location=${join(folder, 'plain')}`]);
    execFileSync('mv', [join(folder, 'plain'), path]);
    return path;
  }

  describe('fit the longest side and keep the aspect', () => {
    const cases: [string, string][] = [
      ['1280x720', '384x216'],
      ['640x480', '384x288'],
      ['480x640', '288x384'],
      ['1920x1080', '384x216'],
      ['320x240', '320x240'], // never scaled up
      ['64x48', '64x48'],
    ];
    it.each(cases)('%s becomes %s', async (from, to) => {
      const [width, height] = from.split('x');
      const [picture] = await take(open(`gst:videotestsrc ! video/x-raw,width=${width},height=${height}`), 1);
      expect(`${picture?.width}x${picture?.height}`).toBe(to);
      expect(picture?.data.length).toBe((picture?.width ?? 0) * (picture?.height ?? 0) * 3);
    });

    it('of pixels that are not square', async () => {
      const [picture] = await take(open('gst:videotestsrc ! video/x-raw,width=720,height=576,pixel-aspect-ratio=16/15'), 1);
      expect([picture?.width, picture?.height]).toEqual([384, 288]); // 4:3
    });
  });

  it('gives colours as they are, and gray as one byte a pixel', async () => {
    const [blue] = await take(open('gst:videotestsrc pattern=blue ! video/x-raw,format=NV12,width=320,height=240'), 1);
    const { data } = blue as Picture;
    expect(blue?.format).toBe('rgb');
    expect([(data[0] as number) < 8, (data[1] as number) < 8, (data[2] as number) > 247]).toEqual([true, true, true]);
    const [white] = await take(open('gst:videotestsrc pattern=white ! video/x-raw,format=GRAY8,width=320,height=240'), 1);
    expect([white?.format, white?.data.length]).toEqual(['gray', 320 * 240]);
    expect(mean(white as Picture, 0, 1)).toBeGreaterThanOrEqual(235); // white of video levels
  });

  it('averages the pixels that become one', async () => {
    const [picture] = await take(open('gst:videotestsrc pattern=checkers-1 ! video/x-raw,format=RGB,width=640,height=480', 64), 1);
    const values = [...(picture as Picture).data].filter((_, i) => i % 3 === 1);
    expect(Math.max(...values) - Math.min(...values)).toBeLessThan(100); // one pixel of ten would be 0 or 255
  });

  it('play an MP4 file at its own pace, to its end', async () => {
    const began = Date.now();
    const pictures = await all(open(`file://${encodeURI(clip("a clip's (first) 100%!.mp4", 'x264enc', '!', 'mp4mux'))}`));
    expect(Date.now() - began).toBeGreaterThan(700); // fifteen frames at 15 a second
    expect(pictures.length).toBeGreaterThan(1); // a busy machine leaves some out
    expect([pictures[0]?.width, pictures[0]?.height]).toEqual([384, 216]);
    const [first] = pictures;
    expect(mean(first as Picture, 0, 0.1)).toBeGreaterThan(mean(first as Picture, 0.9, 1)); // SMPTE bars: white left, blue right
  });

  it('drops JPEGs that are damaged, says so, and goes on', async () => {
    const whole = await sharp('test/fixtures/eval/pictures/0003.png').jpeg({ quality: 90 }).toBuffer();
    const half = Math.floor(whole.length / 2);
    const frames = [
      whole,
      Buffer.from(whole).fill(0, half),
      whole.subarray(0, half),
      Buffer.concat([whole.subarray(0, half), whole.subarray(half + 1400)]),
    ];
    for (const [index, frame] of [...frames, Buffer.concat([whole, Buffer.alloc(100)])].entries())
      writeFileSync(join(folder, `frame-${index}.jpg`), frame);
    const dropped: [string, string | undefined][] = [];
    const source = open(
      `gst:multifilesrc location=${folder}/frame-%d.jpg caps=image/jpeg,framerate=2/1 ! identity sleep-time=400000 ! image/jpeg`,
      160,
    );
    const pictures: Picture[] = [];
    const camera = source.open(new AbortController().signal, (reason, detail) => dropped.push([reason, detail]));
    await expect(
      (async () => {
        for await (const picture of camera) pictures.push(picture);
      })(),
    ).rejects.toMatchObject({ code: 'ERR_CAMERA' }); // a stream that has ended
    expect(pictures.map(({ width, height, format }) => `${width}x${height} ${format}`)).toEqual(['160x120 rgb', '160x120 rgb']);
    expect(dropped.map(([reason]) => reason)).toEqual(['unreadable', 'unreadable', 'unreadable']);
    for (const [, detail] of dropped) expect(detail).toMatch(/: damaged jpeg: /);
  });

  it('play an MJPEG file', async () => {
    const [picture] = await take(open(`file://${clip('motion.avi', 'jpegenc', '!', 'avimux')}`), 1);
    expect([picture?.width, picture?.height]).toEqual([384, 216]);
  });

  it('play a file again and again where asked', async () => {
    const pictures = await take(open(`file://${clip('again.mp4', 'x264enc', '!', 'mp4mux')}?loop=true`), 40);
    expect(pictures.length).toBe(40);
  });

  it.each([
    ['double quotes', (path: string) => `"${path}"`],
    ['single quotes', (path: string) => `'${path}'`],
    ['backslashes', (path: string) => path.replaceAll(' ', '\\ ')],
  ])('take a pipeline of several lines and %s', async (_, quoted) => {
    const path = clip('a clip.mp4', 'x264enc', '!', 'mp4mux');
    const [picture] = await take(open(`gst:\n  filesrc location=${quoted(path)} ! qtdemux\n  ! h264parse\t! avdec_h264\n`), 1);
    expect([picture?.width, picture?.height]).toEqual([384, 216]);
  });

  it('decode MJPEG', async () => {
    const pictures = await take(open('gst:videotestsrc ! video/x-raw,width=640,height=480 ! jpegenc ! image/jpeg ! jpegdec'), 5);
    expect(pictures.map(({ width, height }) => [width, height])).toEqual(Array.from({ length: 5 }, () => [384, 288]));
  });

  it('follow a camera that changes its resolution', async () => {
    const pictures = await all(
      open(
        'gst:concat name=c videotestsrc num-buffers=3 ! video/x-raw,width=640,height=480 ! c. videotestsrc num-buffers=3 ! video/x-raw,width=480,height=640 ! c. c.',
      ),
    ).catch((error: Error) => error);
    expect(pictures).toBeInstanceOf(Error); // whatever ends and is no file is a lost camera
    const seen = new Set<string>();
    const source = open(
      'gst:concat name=c videotestsrc num-buffers=9 ! video/x-raw,width=640,height=480,framerate=30/1 ! identity sync=true ! c. videotestsrc num-buffers=99 ! video/x-raw,width=480,height=640,framerate=30/1 ! identity sync=true ! c. c.',
    );
    for await (const { width, height } of source.open(new AbortController().signal, () => undefined)) {
      seen.add(`${width}x${height}`);
      if (seen.size === 2) break;
    }
    expect([...seen]).toEqual(['384x288', '288x384']);
  });

  it('are not disturbed by what elements print', async () => {
    const pictures = await take(
      open('gst:videotestsrc ! identity silent=false ! fakesink dump=true videotestsrc ! video/x-raw,width=64,height=48'),
      3,
    );
    expect(pictures.length).toBe(3);
  });

  describe('leave nothing behind', () => {
    it('when the reader has enough, when it is aborted, and when they end', async () => {
      const before = descriptors();
      await take(open('gst:videotestsrc is-live=true'), 2);
      const { signal, abort } = abortable();
      setTimeout(abort, 300);
      await take(open('gst:videotestsrc is-live=true'), Number.POSITIVE_INFINITY, signal);
      await expect(all(open('gst:videotestsrc num-buffers=3'))).rejects.toThrow('the stream has ended');
      expect(children()).toEqual([]);
      expect(descriptors()).toBe(before);
    });

    it('even of a child that is stopped', async () => {
      const { signal, abort } = abortable();
      const reading = take(open('gst:videotestsrc is-live=true'), Number.POSITIVE_INFINITY, signal);
      await until('a child', () => children().length === 1);
      process.kill(children()[0] as number, 'SIGSTOP');
      abort();
      await reading;
      expect(children()).toEqual([]);
    });

    it('and leave Ctrl-C to their parent', async () => {
      const { signal, abort } = abortable();
      const reading = take(open('gst:videotestsrc is-live=true'), Number.POSITIVE_INFINITY, signal);
      await until('a child', () => children().length === 1);
      const group = (pid: number | string) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[2];
      expect(group(children()[0] as number)).not.toBe(group('self'));
      abort();
      await reading;
    });

    it('when aborted before they have begun', async () => {
      const { signal, abort } = abortable();
      abort();
      expect(await take(open('gst:videotestsrc'), 1, signal)).toEqual([]);
      expect(children()).toEqual([]);
    });
  });

  describe('say what is wrong', () => {
    const failure = async (uri: string) =>
      await all(open(uri)).then(
        () => expect.fail('it did not fail'),
        (error: unknown) => error,
      );

    it.each([
      ['a file that is not there', 'file:///no/such.mp4', /No such file/],
      ['an element that is not there, with the package that may bring it', 'gst:nosuchelement', /no element nosuchelement: sudo apt-get install/],
      ['a pipeline that is none', 'gst:videotestsrc ! ! video/x-raw', /gst-launch-1\.0 ended/],
      ['a camera that is not there', 'v4l2:///dev/video99', /\/dev\/video99/],
      ['a stream that ends', 'gst:videotestsrc num-buffers=2', /the stream has ended/],
      ['an RTSP server that is not there', 'rtsp://127.0.0.1:1/x', /[Cc]onnect/],
    ])('%s', async (_, uri, text) => {
      expect(await failure(uri)).toMatchObject({ code: 'ERR_CAMERA', message: expect.stringMatching(text) });
    });

    it('a child that dies', async () => {
      const reading = failure('gst:videotestsrc is-live=true');
      await until('a child', () => children().length === 1);
      process.kill(children()[0] as number, 'SIGKILL');
      expect(await reading).toMatchObject({ code: 'ERR_CAMERA', message: expect.stringContaining('SIGKILL') });
    });

    it('a GStreamer that is not installed', async () => {
      const path = process.env.PATH;
      process.env.PATH = folder;
      try {
        expect(await failure('gst:videotestsrc')).toMatchObject({
          code: 'ERR_CAMERA',
          message: expect.stringMatching(/gst-launch-1\.0 is not installed: sudo apt-get install -y gstreamer1\.0-tools/),
        });
      } finally {
        process.env.PATH = path;
      }
    });

    it('without passwords', async () => {
      const error = (await failure('rtsp://anna:gehe%40im@127.0.0.1:1/x')) as Error & { details: unknown };
      const text = `${error.message} ${error.stack} ${JSON.stringify(error.details)}`;
      expect(text).not.toMatch(/gehe/);
    });
  });

  it('give every frame once', async () => {
    // snow is never the same twice: every frame that is read must differ from the one before
    const pictures = await take(open('gst:videotestsrc pattern=snow is-live=true ! video/x-raw,width=320,height=240,framerate=30/1'), 20);
    const repeats = pictures.filter((picture, i) => i > 0 && Buffer.compare(picture.data, (pictures[i - 1] as Picture).data) === 0);
    expect(repeats).toEqual([]);
  });
});

function abortable(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}
