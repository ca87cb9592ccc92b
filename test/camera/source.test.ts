import { describe, expect, it } from 'vitest';
import { mask, secretsIn } from '../../src/camera/mask.js';
import { type Has, pipelineOf, show } from '../../src/camera/pipelines.js';
import { openSource } from '../../src/camera/source.js';
import { tokens } from '../../src/camera/tokens.js';
import { Redactor } from '../../src/redact.js';

const open = (uri: string) => openSource(uri, { sidePx: 384 });
const plain: Has = () => false;
const jetson: Has = () => true;
const text = (uri: string, has: Has = plain) => show(pipelineOf(uri, 384, has)).replace('gst-launch-1.0 -q ', '');

const QUEUE = 'queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0';
const SIZE = 'width=[1,384],height=[1,384],pixel-aspect-ratio=1/1';
const END = 'videoconvert ! video/x-raw,format={RGB,GRAY8} ! pnmenc ! fdsink fd=3 sync=false';
const TAIL = `${QUEUE} ! videoscale method=bilinear2 ! video/x-raw,${SIZE} ! ${END}`;
const JPEG_TAIL = `${QUEUE} ! multipartmux ! fdsink fd=3 sync=false`;
const NVIDIA_TAIL = `${QUEUE} ! nvvidconv interpolation-method=Nicest ! video/x-raw,format=RGBA,${SIZE} ! ${END}`;

describe('openSource', () => {
  it.each(['synthetic://kitchen', 'images://clips', 'v4l2:///dev/video0', 'csi://0', 'rtsp://h/x', 'file://clip.mp4', 'gst:videotestsrc'])(
    'knows %s',
    (uri) => {
      expect(open(uri).name).toBe(uri);
    },
  );

  it.each([
    ['rtps://host/x', /begins with synthetic:\/\/, .*did you mean rtsp:\/\/\?/],
    ['/dev/video0', /begins with synthetic:/],
    ['', /begins with synthetic:/],
    ['synthetic://kitchn', /expected synthetic:\/\/kitchen/],
    ['synthetic://kitchen?sed=1', /sed: expected one of the options seed, .*did you mean seed\?/],
    ['synthetic://kitchen?seed=1&seed=2', /seed: expected one value/],
    ['synthetic://kitchen?seed=x', /seed: expected a whole number from 0/],
    ['synthetic://kitchen?seed=1.5', /seed: expected a whole number from 0/],
    ['synthetic://kitchen?fps=', /fps: expected a number from 0/],
    ['synthetic://kitchen?fps=-1', /fps: expected a number from 0/],
    ['synthetic://kitchen?cup=on', /cup: expected one of any, one, received "on" \(did you mean one\?\)/],
    ['images://', /images:\/\/FOLDER.*images:\/\/FILE/],
    ['images://x?loop=yes', /loop: expected one of true, false/],
    ['v4l2://video0', /v4l2:\/\/\/dev\/video0/],
    ['v4l2:///dev/video0 ! filesink', /v4l2:\/\/\/dev\/video0/],
    ['v4l2:///dev/video0?format=jpeg', /format: expected one of raw, mjpeg.*did you mean mjpeg/],
    ['v4l2:///dev/video0?width=0', /width: expected a whole number from 1/],
    ['csi://front', /csi:\/\/ and the number of the sensor/],
    ['csi://0?fps=0', /fps: expected a whole number from 1/],
    ['rtsp://', /rtsp:\/\/user:password@host/],
    ['file://', /file:\/\/clip\.mp4/],
    ['file://clip.mp4?fps=1', /fps: expected one of the options loop/],
    ['gst:', /gst: and a pipeline/],
    ['gst: videotestsrc !', /gst: and a pipeline/],
    ['gst:videotestsrc name="x', /gst: and a pipeline/],
    ['rtsp://host/a\nb', /control characters/],
    ['gst:videotestsrc\0 ! x', /control characters/],
  ])('refuses %s', (uri, message) => {
    expect(() => open(uri)).toThrow(expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }));
  });

  it.each([
    ['a side that is none', { sidePx: 0 }, /openSource\.sidePx: expected a whole number from 16 to 4096/],
    ['an unknown option', { sidePx: 384, side: 1 }, /openSource\.side: .*did you mean sidePx/],
  ])('refuses %s', (_, options, message) => {
    expect(() => openSource('synthetic://kitchen', options)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }),
    );
  });

  it.each([
    ['rtsp:anna:gehe1m@host/x', /begins with .*rtsp:\/\/, .*did you mean rtsp:\/\//],
    ['v4l2:anna:gehe1m@host', /begins with .*v4l2:\/\//],
    ['anna:gehe1m@host/x', /begins with synthetic:\/\//],
    ['rtsp://anna:ge/he1m@host/x', /percent-encode/],
    ['rtsp://anna:12/he1m@host/x', /percent-encode/],
    ['rtsp://anna:ge?he1m@host/x', /percent-encode/],
    ['rtsp://anna:ge#he1m@host/x', /percent-encode/],
    ['rtsp://anna:ge%he1m@host/x', /percent-encode/],
    ['rtsp://anna:he1m%4@host/x', /percent-encode/],
    ['rtsp://me@b.example:he1m/2@host/x', /percent-encode/],
    ['rtsp://host/x?password=100%he1m', /percent-encode/],
    ['rtsp://a%3Ab:gehe1m@host/x', /without a colon/],
    ['rtsp://anna:gehe1m%00@host/x', /without %00/],
    ['rtsp://anna:gehe1m\ud800@host/x', /surrogate/],
    ['rtsp://anna:gehe1m', /rtsp:\/\/user:password@host/],
    ['images://anna:gehe1m@host/x', /a path, without user and password/],
    ['file://anna:ge/he1m@host/x', /a path, without user and password/],
    ['rtps://anna:gehe1m@host/x', /did you mean rtsp:\/\//],
  ])('refuses %s and does not show it', (uri, message) => {
    const error = (() => {
      try {
        open(uri);
      } catch (thrown) {
        return thrown as { code: string; message: string; details: unknown };
      }
      throw new Error('accepted');
    })();
    expect(error).toMatchObject({ code: 'ERR_OPTION', message: expect.stringMatching(message) });
    expect(`${error.message} ${JSON.stringify(error.details)}`).not.toMatch(/he1m/);
  });
});

describe('what is shown of a camera', () => {
  it.each([
    ['rtsp://host:554/x', 'rtsp://host:554/x'],
    ['rtsp://anna@host/x', 'rtsp://***@host/x'],
    ['rtsp://anna:gehe1m@host:554/x', 'rtsp://***@host:554/x'],
    [`rtsp://admin:Tops'ecret@host/x`, 'rtsp://***@host/x'],
    ['rtsp://admin:Tops ecret@host/x', 'rtsp://***@host/x'],
    ['rtsp://admin:Tops"ecret@host/x', 'rtsp://***@host/x'],
    ['rtsp://admin:Tops\\ecret@host/x', 'rtsp://***@host/x'],
    ['rtsp://me@b.example:gehe1m@host/x', 'rtsp://***@host/x'],
    ['rtsp://anna:ge@he1m@[::1]:554/x', 'rtsp://***@[::1]:554/x'],
    ['rtsp://anna:ge/he1m@host/x?a=1', 'rtsp://***@host'],
    ['rtsp://anna:gehe1m@', 'rtsp://***'],
    ['rtsp://anna:gehe1m', 'rtsp://***'],
    ['rtsp:anna:gehe1m@host/x', 'rtsp:***@host'],
    ['v4l2:anna:gehe1m@host', 'v4l2:***@host'],
    ['anna:gehe1m@host', '***@host'],
    ['rtsp://host/x?user=anna&password=gehe1m&n', 'rtsp://host/x?user=***&password=***&***'],
    ['rtsp://host/user=anna_password=gehe1m_channel=1.sdp', 'rtsp://host/user=***'],
    ['rtsp://host/x#gehe1m', 'rtsp://host/x#***'],
    ['images:///pictures?fps=2&loop=true', 'images:///pictures?fps=2&loop=true'],
    ['images:///pictures?key=gehe1m', 'images:///pictures?key=***'],
    ['images:///srv/a@2x.png', 'images:///srv/a@2x.png'],
    ['file:///clips/10:00@front.mp4', 'file:///clips/10:00@front.mp4'],
    ['file://anna:ge/he1m@host/x', 'file://***@host'],
    ['/dev/video0', '/dev/video0'],
    ['gst:videotestsrc is-live=true ! video/x-raw, width=640 ! jpegenc', 'gst:videotestsrc is-live=*** ! video/x-raw, width=640 ! jpegenc'],
    ['gst:rtspsrc location=rtsp://anna:gehe1m@host/x ! decodebin', 'gst:rtspsrc location=*** ! decodebin'],
    ['gst:rtspsrc user-id=anna user-pw = "ge he1m" ! t. t. ! decodebin', 'gst:rtspsrc user-id=*** user-pw=*** ! t. t. ! decodebin'],
    ["gst:rtspsrc user-pw= 'ge he1m' ! a", 'gst:rtspsrc user-pw=*** ! a'],
    ['gst:rtspsrc user-pw =gehe1m ! a', 'gst:rtspsrc user-pw=*** ! a'],
    ['gst:rtspsrc user-pw=ge he1m ! a', 'gst:rtspsrc user-pw=*** *** ! a'],
    [String.raw`gst:rtspsrc user-pw=ge\ he1m ! a`, 'gst:rtspsrc user-pw=*** ! a'],
    [`gst:rtspsrc 'user-pw="ge he1m"' ! a`, 'gst:rtspsrc user-pw=*** ! a'],
    ['gst:rtspsrc user-pw="gehe1m ! a', 'gst:***'],
    ['gst:( rtspsrc user-pw=gehe1m ! a )', 'gst:( rtspsrc user-pw=*** ! a )'],
  ])('of %s: %s', (uri, shown) => {
    expect(mask(uri)).toBe(shown);
  });

  it.each([
    ['rtsp://anna:gehe1m@host/x', ['gehe1m', 'anna:gehe1m@']],
    ['rtsp://anna:ge%20he1m@host/x', ['ge%20he1m', 'ge he1m', 'ge\\ he1m']],
    [`rtsp://me@b.example:g'e"h\\e@host/x`, [`g'e"h\\e`, 'g%27e%22h%5Ce', 'g%27e%22h%5ce', `g'e\\"h\\\\e`, 'me@b.example', 'me%40b.example']],
    ['rtsp://host/x?user=anna&password=gehe1m', ['gehe1m']],
    ['rtsp://host/user=anna_password=gehe1m_channel=1.sdp', ['gehe1m', 'anna_password=gehe1m_channel=1.sdp']],
    ['gst:rtspsrc location=rtsp://anna:gehe1m@host/x ! a', ['gehe1m']],
    ['gst:rtspsrc user-pw = "ge he1m" ! a', ['ge he1m']],
    ['gst:rtspsrc user-pw=ge he1m ! a', ['he1m']],
    ['gst:rtspsrc user-pw=gehe!im12 ! a', ['gehe!im12', 'gehe', 'im12']],
    [`gst:rtspsrc 'user-pw="ge he1m"' ! a`, ['ge he1m']],
    ['gst:souphttpsrc extra-headers="h,X=\\"gehe1m\\"" ! a', ['h,X="gehe1m"']],
    ['gst:rtspsrc user-pw="gehe1m', ['gehe1m']],
  ])('hidden in other texts because of %s', (uri, hidden) => {
    const redactor = new Redactor(secretsIn(uri));
    for (const secret of hidden) expect(redactor.text(`a ${secret} b`)).toBe('a *** b');
  });

  it('leaves ordinary words of other texts alone', () => {
    const uris = [
      'gst:videotestsrc is-live=true pattern=snow num-buffers=1000 ! video/x-raw,width=640',
      'rtsp://admin:ab@host/x?channel=1&stream=main',
    ];
    const text = 'true snow 1000 640 admin ab main filesrc location=/clips/a.mp4';
    expect(new Redactor([...uris, 'gst:filesrc location=/clips/a.mp4 ! a'].flatMap(secretsIn)).text(text)).toBe(text);
  });
});

describe('pipelines', () => {
  it.each([
    ['v4l2:///dev/video0', plain, `v4l2src device=/dev/video0 do-timestamp=true ! video/x-raw ! ${TAIL}`],
    [
      'v4l2:///dev/video0?width=1280&height=720&fps=30',
      jetson,
      `v4l2src device=/dev/video0 do-timestamp=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! ${NVIDIA_TAIL}`,
    ],
    ['v4l2:///dev/video0?format=mjpeg&width=1280', plain, `v4l2src device=/dev/video0 do-timestamp=true ! image/jpeg,width=1280 ! ${JPEG_TAIL}`],
    ['v4l2:///dev/video0?format=mjpeg', jetson, `v4l2src device=/dev/video0 do-timestamp=true ! image/jpeg ! ${JPEG_TAIL}`],
    [
      'csi://1?mode=2&fps=60',
      jetson,
      `nvarguscamerasrc sensor-id=1 sensor-mode=2 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=60/1 ! ${QUEUE} ! nvvidconv interpolation-method=Nicest ! video/x-raw,format=RGBA,width=384,height=216 ! ${END}`,
    ],
    [
      'rtsp://h/x?a=1',
      plain,
      `rtspsrc location=rtsp://h/x?a=1 protocols=tcp latency=0 tcp-timeout=10000000 ! application/x-rtp,media=video ! decodebin ! ${TAIL}`,
    ],
    [
      'rtsp://h/x',
      jetson,
      `rtspsrc location=rtsp://h/x protocols=tcp latency=0 tcp-timeout=10000000 ! application/x-rtp,media=video ! decodebin ! ${NVIDIA_TAIL}`,
    ],
    [
      'file:///clips/a b.mp4',
      plain,
      `uridecodebin uri=file:///clips/a%20b.mp4 caps=video/x-raw(ANY) expose-all-streams=false ! identity sync=true ! ${TAIL}`,
    ],
    ['file:///c.mp4', jetson, `uridecodebin uri=file:///c.mp4 caps=video/x-raw(ANY) expose-all-streams=false ! identity sync=true ! ${NVIDIA_TAIL}`],
    [
      'gst:souphttpsrc location=http://h/ ! multipartdemux ! image/jpeg',
      plain,
      `souphttpsrc location=http://h/ ! multipartdemux ! image/jpeg ! ${JPEG_TAIL}`,
    ],
    ['gst:videotestsrc  !  jpegenc ! jpegdec', jetson, `videotestsrc ! jpegenc ! jpegdec ! ${TAIL}`],
  ])('%s (%#)', (uri, has, expected) => {
    expect(text(uri, has)).toBe(expected);
  });

  it.each([
    [1920, 1080, 384, 216],
    [3280, 2464, 384, 288],
    [720, 1280, 216, 384],
    [320, 240, 320, 240],
    [4000, 3, 384, 2],
  ])('of a sensor of %d x %d ask the hardware for %d x %d', (width, height, toWidth, toHeight) => {
    expect(text(`csi://0?width=${width}&height=${height}`, jetson)).toContain(`format=RGBA,width=${toWidth},height=${toHeight} !`);
  });

  it('prefer the decoder of the hardware', () => {
    expect(pipelineOf('rtsp://h/x', 384, jetson).env).toEqual({ GST_PLUGIN_FEATURE_RANK: expect.stringContaining('avdec_h264:MARGINAL') });
    expect(pipelineOf('rtsp://h/x', 384, plain).env).toEqual({});
  });

  it('say which variant they are', () => {
    expect([pipelineOf('rtsp://h/x', 384, jetson).variant, pipelineOf('rtsp://h/x', 384, plain).variant]).toEqual(['nvidia', 'plain']);
    expect([pipelineOf('csi://0', 384, plain).variant, pipelineOf('gst:videotestsrc', 384, jetson).variant]).toEqual(['nvidia', 'plain']);
  });

  it('give the parser of gst-launch no character that means something to it', () => {
    for (const uri of [`file:///a'b"c\\d!e(f)g{h}.mp4`, `rtsp://a'n!na:p"\\w@h/x'y"z!`]) {
      const argument = pipelineOf(uri, 384, plain).args[1] as string;
      expect(argument.replace(/^[a-z]+=/, '')).toMatch(/^[\w.~:/?&=@%[\]+,;-]+$/);
    }
  });

  it.each([
    ['a ! b', ['a', '!', 'b']],
    ['a\n  b=1\t!', ['a', 'b=1', '!']],
    ['f location="a b.mp4" !', ['f', 'location=a b.mp4', '!']],
    [`f location='a "b' x`, ['f', `location=a "b`, 'x']],
    ['f location=a\\ b c', ['f', 'location=a b', 'c']],
    ['f t="say \\"hi there\\"" x', ['f', 't=say "hi there"', 'x']],
    [`a ! 'video/x-raw(memory:NVMM), width=640' ! b`, ['a', '!', 'video/x-raw(memory:NVMM), width=640', '!', 'b']],
    ['video/x-raw, width=640', ['video/x-raw,', 'width=640']],
    ['f a="open end', undefined],
    ["f a='open end", undefined],
    ['f a\\', undefined],
    ['', []],
  ])('are split as a shell does: %s', (description, expected) => {
    expect(tokens(description)).toEqual(expected);
  });
});
