/**
 * The GStreamer pipeline of each kind of camera, as the arguments of gst-launch-1.0. Each has a variant for NVIDIA Jetson, where frames stay in
 * the memory of the video hardware until they are small, and a plain one. Pure functions: what the machine has is told by `has`.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodeOnce, needsEncoding, partsOf } from '../address.js';
import { optionError } from '../errors.js';
import { Redactor } from '../redact.js';
import { mask, secretsIn } from './mask.js';
import { loopHint, readOptions } from './options.js';
import { tokens } from './tokens.js';
import { type CameraUri, decodePath, splitUri } from './uri.js';

export interface Pipeline {
  variant: 'nvidia' | 'plain';
  /** What comes on FRAMES_FD: small pictures as PNM, or JPEG files as the camera sent them, in the parts of a multipart stream. */
  pictures: 'pnm' | 'jpeg';
  args: string[];
  /** For the child process, besides its parent's. */
  env: Record<string, string>;
  /** Hides what must not appear in any text. */
  redactor: Redactor;
  /** A file: it ends normally, while any other camera whose stream ends is lost. */
  finite: boolean;
  loop: boolean;
  /** See Source. */
  afterEnd?: string;
}

/** Elements that make the difference between the variants. */
export const PROBED = ['nvvidconv', 'nvv4l2decoder'] as const;
export type Has = (element: (typeof PROBED)[number]) => boolean;

/** Pictures leave the child on a descriptor of their own, where no element's chatter on stdout can get between them. */
export const FRAMES_FD = 3;

type Stage = string[];
type Head = Partial<Pick<Pipeline, 'finite' | 'loop' | 'afterEnd' | 'env' | 'pictures'>> & { stages: Stage[]; size?: string };

const HEADS: Record<string, (uri: CameraUri, sidePx: number, has: Has) => Head> = { v4l2, csi, rtsp, file };
export const GSTREAMER_SCHEMES = [...Object.keys(HEADS), 'gst'];

/** Throws ERR_OPTION where `uri` is not what its scheme takes. */
export function pipelineOf(uri: string, sidePx: number, has: Has): Pipeline {
  const scheme = uri.slice(0, uri.indexOf(':'));
  const { stages, size, ...head } = scheme === 'gst' ? described(uri) : (HEADS[scheme] as (typeof HEADS)[string])(splitUri(uri), sidePx, has);
  const nvidia = scheme === 'csi' || (scheme !== 'gst' && head.pictures !== 'jpeg' && has('nvvidconv'));
  // Not above the wanted side, and never scaled up; with square pixels fixed, the aspect decides the rest.
  const caps = size ?? `width=[1,${sidePx}],height=[1,${sidePx}],pixel-aspect-ratio=1/1`;
  const all = [...stages, NEWEST, ...(head.pictures === 'jpeg' ? JPEG_TAIL : tail(caps, nvidia))];
  return {
    variant: nvidia ? 'nvidia' : 'plain',
    pictures: 'pnm',
    args: all.flatMap((stage, i) => (i === 0 ? stage : ['!', ...stage])),
    env: {},
    redactor: new Redactor(secretsIn(uri)),
    finite: false,
    loop: false,
    ...head,
  };
}

/** As one would type it, secrets masked. */
export function show({ args, redactor }: Pipeline): string {
  return redactor.text(['gst-launch-1.0', '-q', ...args].join(' '));
}

/** Holds one frame and forgets it when a newer one comes. */
const NEWEST: Stage = ['queue', 'leaky=downstream', 'max-size-buffers=1', 'max-size-bytes=0', 'max-size-time=0'];
const SINK: Stage = ['fdsink', `fd=${FRAMES_FD}`, 'sync=false'];
/** JPEGs leave as they are: GStreamer's decoders paint over what is missing and say nothing, ours refuses it. */
const JPEG_TAIL: Stage[] = [['multipartmux'], SINK];

/**
 * From raw video of any size to small pictures on FRAMES_FD. The methods of scaling are those that average the pixels that become one, which the
 * elements by themselves do not.
 */
function tail(size: string, nvidia: boolean): Stage[] {
  const scale: Stage[] = nvidia
    ? [['nvvidconv', 'interpolation-method=Nicest'], [`video/x-raw,format=RGBA,${size}`]]
    : [['videoscale', 'method=bilinear2'], [`video/x-raw,${size}`]];
  return [...scale, ['videoconvert'], ['video/x-raw,format={RGB,GRAY8}'], ['pnmenc'], SINK];
}

/** v4l2:///dev/video0. */
function v4l2(uri: CameraUri): Head {
  const { format, width, height, fps } = readOptions(uri, 'v4l2');
  const device = decodePath(uri.rest);
  if (!/^\/dev\/[\w./:-]+$/.test(device)) throw optionError('camera', 'v4l2:///dev/video0', uri.name);
  const asked = { width, height, framerate: fps === null ? null : `${fps}/1` };
  const fields = Object.entries(asked).flatMap(([key, value]) => (value === null ? [] : [`${key}=${value}`]));
  const caps = [format === 'raw' ? 'video/x-raw' : 'image/jpeg', ...fields].join(',');
  const source = ['v4l2src', `device=${device}`, 'do-timestamp=true'];
  return { stages: [source, [caps]], pictures: format === 'raw' ? 'pnm' : 'jpeg' };
}

/** csi://0, the number of the sensor. */
function csi(uri: CameraUri, sidePx: number): Head {
  const { width, height, fps, mode } = readOptions(uri, 'csi');
  if (!/^\d{1,3}$/.test(uri.rest)) throw optionError('camera', 'csi:// and the number of the sensor, e.g. csi://0', uri.name);
  const scale = Math.min(1, sidePx / Math.max(width, height));
  const even = (side: number) => Math.max(2, 2 * Math.round((side * scale) / 2)); // what the video hardware takes
  return {
    stages: [
      ['nvarguscamerasrc', `sensor-id=${uri.rest}`, ...(mode === null ? [] : [`sensor-mode=${mode}`])],
      [`video/x-raw(memory:NVMM),width=${width},height=${height},framerate=${fps}/1`],
    ],
    size: `width=${even(width)},height=${even(height)}`,
  };
}

const RTSP = 'rtsp://user:password@host:554/path';
const ENCODED = `${RTSP} (percent-encode / ? # % @ : in user and password: %2F %3F %23 %25 %40 %3A)`;

/**
 * rtsp://user:password@host/path?options-of-the-camera, over TCP. The password stands in the arguments of the child process, because gst-launch
 * takes it nowhere else: other users of this machine can see it in the list of processes unless /proc is mounted with hidepid.
 */
function rtsp({ rest, query, name }: CameraUri, _sidePx: number, has: Has): Head {
  // The whole of it belongs to the camera: there are no options of ours.
  const address = `rtsp://${rest}${query === '' ? '' : `?${query}`}`;
  if (needsEncoding(partsOf(address).userInfo ?? '') || /%(?![0-9a-f]{2})/i.test(address)) throw optionError('camera', ENCODED, name);
  const { userInfo, tail } = partsOf(address);
  const server = `rtsp://${tail}`;
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url === undefined || url.hostname === '') throw optionError('camera', RTSP, name);
  const login = userInfo === null ? '' : loginOf(userInfo, name);
  return {
    stages: [
      [
        'rtspsrc',
        `location=rtsp://${login}${plainCharacters(url.href.slice('rtsp://'.length))}`,
        'protocols=tcp',
        'latency=0',
        'tcp-timeout=10000000',
      ],
      ['application/x-rtp,media=video'],
      ['decodebin'],
    ],
    // decodebin takes the decoder of the highest rank.
    ...(has('nvv4l2decoder') ? { env: { GST_PLUGIN_FEATURE_RANK: 'avdec_h264:MARGINAL,avdec_h265:MARGINAL,openh264dec:MARGINAL' } } : {}),
  };
}

/** rtspsrc splits at the first colon, insists on one, and decodes both sides; a login over RTSP has no way to send a user name with a colon. */
function loginOf(userInfo: string, name: string): string {
  const [user = '', password = ''] = userInfo.split(/:(.*)/s, 2);
  if (/%3a/i.test(user)) throw optionError('camera', `${RTSP}, the user without a colon`, name);
  if (userInfo.includes('%00')) throw optionError('camera', `${RTSP}, without %00`, name);
  return `${encodeOnce(user)}:${encodeOnce(password)}@`;
}

/** file://clip.mp4, from the working directory, or file:///clips/clip.mp4, at the pace it was recorded in. */
function file(uri: CameraUri): Head {
  const { loop } = readOptions(uri, 'file');
  const path = decodePath(uri.rest);
  if (path === '') throw optionError('camera', 'file://clip.mp4 or file:///folder/clip.mp4', uri.name);
  return {
    stages: [
      ['uridecodebin', `uri=${plainCharacters(pathToFileURL(resolve(path)).href)}`, 'caps=video/x-raw(ANY)', 'expose-all-streams=false'],
      ['identity', 'sync=true'],
    ],
    finite: true,
    loop,
    ...(loop ? {} : { afterEnd: loopHint(uri) }),
  };
}

/**
 * gst: and a pipeline that ends in raw video in system memory, or in the caps image/jpeg: then damaged frames are dropped, which no decoder of
 * GStreamer does. Plain throughout: what the hardware does is for its author to say.
 */
function described(uri: string): Head {
  const args = tokens(uri.slice(uri.indexOf(':') + 1));
  if (args === undefined || args.length === 0 || args[0] === '!' || args.at(-1) === '!')
    throw optionError('camera', 'gst: and a pipeline that ends in raw video, e.g. gst:videotestsrc is-live=true', mask(uri));
  return { stages: [args], pictures: /^image\/jpeg\b/.test(args.at(-1) as string) ? 'jpeg' : 'pnm' };
}

/** Characters that mean something to the parser of gst-launch, percent-encoded. */
function plainCharacters(url: string): string {
  return url.replace(/[^\w.~:/?&=@%[\]+,;-]/g, (character) =>
    encodeURIComponent(character).replace(/^[!'()*]$/, (c) => `%${c.charCodeAt(0).toString(16)}`),
  );
}
