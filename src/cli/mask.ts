import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Command } from 'commander';
import { Camera } from '../camera/camera.js';
import type { Frame } from '../camera/frame.js';
import { type Mark, overlay } from '../camera/overlay.js';
import type { Polygon } from '../camera/polygon.js';
import { openSource } from '../camera/source.js';
import { MiphaError, nearestKey, optionError } from '../errors.js';
import { redactor } from '../redact.js';
import { loadConfig } from '../service/config/config.js';
import type { CameraConfig, Config } from '../service/config/schema.js';
import type { WatchSpec } from '../watch/spec.js';
import { withKeptOverrides } from './config-lines.js';
import { interruption } from './failure.js';
import { assignment } from './options.js';
import { notes } from './output.js';

interface MaskCommand {
  config?: string;
  set: [path: string, value: string][];
  out?: string;
  force?: boolean;
}

const COLORS = { privacy: '#ff3b30', zone: '#34c759', ignore: '#ff9500', crop: '#0a84ff' };
const SIDE_PX = 1280;
const PATIENCE_MS = 20_000; // for the first picture
const TYPES: Record<string, 'png' | 'jpeg'> = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg' };

export function addMask(program: Command): void {
  program
    .command('mask')
    .description('A picture of a camera with its privacy masks and the zones of its watches drawn and named, to write and to check them.')
    .argument('<camera>', 'the id of a camera in the configuration, or an address such as v4l2:///dev/video0')
    .option('--config <file>', 'the YAML file that the camera stands in')
    .option('--set <path=value>', 'a setting, as often as needed, e.g. to try a mask', assignment, [])
    .option('--out <file>', 'where to write it, .png or .jpg; default: a PNG to stdout')
    .option('--force', 'write over a file that is there')
    .addHelpText(
      'after',
      notes(`
Examples:
  mipha mask front --config mipha.yaml --out front.png
  mipha mask front --config mipha.yaml --out try.jpg \\
    --set 'cameras.front.privacy=[[[0,0.5],[0.3,0.5],[0.3,1],[0,1]]]'
  mipha mask v4l2:///dev/video0 --out view.jpg

Lines at every tenth of the sides show which shares to write: points are [x, y] from the top left corner.
What is private is black in this picture too. A camera that a running node holds open may be refused by its driver.`),
    )
    .action(mask);
}

async function mask(name: string, { config: file, set, out, force = false }: MaskCommand): Promise<void> {
  const type = out === undefined ? 'png' : TYPES[extname(out).toLowerCase()];
  if (type === undefined) throw optionError('out', 'a file that ends in .png or .jpg', out);
  if (out === undefined && process.stdout.isTTY) throw optionError('out', 'a file to write, or a stdout that is no terminal', 'a terminal');
  const { camera, marks } = await wanted(name, file, set);
  const { signal, release } = interruption();
  try {
    const frame = await firstFrame(camera, signal);
    const picture = await overlay(frame, marks, type);
    if (out === undefined) process.stdout.write(picture.data);
    else await write(out, picture.data, force);
    const where = out === undefined ? '' : `${out}: `;
    const drawn = marks.map((mark) => mark.name).join(', ') || 'nothing drawn';
    process.stderr.write(redactor.text(`${where}${picture.width} x ${picture.height}, of a frame of ${frame.width} x ${frame.height}: ${drawn}\n`));
  } finally {
    release();
  }
}

/** The camera, and what is to be drawn over its picture. Throws ERR_CONFIG, and ERR_OPTION for a camera that is none. */
async function wanted(
  name: string,
  file: string | undefined,
  flags: MaskCommand['set'],
): Promise<{ camera: Pick<CameraConfig, 'uri' | 'privacy'>; marks: Mark[] }> {
  if (name.includes(':')) {
    if (file !== undefined) throw optionError('camera', `the id of a camera in ${file}`, 'an address');
    return { camera: { uri: name, privacy: [] }, marks: [] };
  }
  if (file === undefined) throw optionError('camera', 'an address, or with --config the id of a camera in it', name);
  const { config } = await withKeptOverrides(await loadConfig({ file, flags, checkFiles: false }));
  const known = Object.keys(config.cameras);
  const camera = Object.hasOwn(config.cameras, name) ? config.cameras[name] : undefined;
  if (camera === undefined) throw optionError('camera', `one of ${known.join(', ') || '(there is none)'}`, name, nearestKey(name, known));
  return { camera, marks: marksOf(name, camera, config.watches) };
}

function marksOf(id: string, { privacy }: CameraConfig, watches: Config['watches']): Mark[] {
  const named = (kind: keyof typeof COLORS, polygons: readonly Polygon[] = [], of = '') =>
    polygons.map((polygon, index) => ({ name: `${kind}${polygons.length > 1 ? ` ${index + 1}` : ''}${of}`, color: COLORS[kind], polygon }));
  const own = Object.entries(watches).filter(([, { camera }]) => camera === id);
  const ofWatch = ([watch, { crop, zone, ignore }]: [string, WatchSpec]) => [
    ...named('crop', crop === undefined ? [] : [cornersOf(crop)], ` of ${watch}`),
    ...named('zone', zone, ` of ${watch}`),
    ...named('ignore', ignore, ` of ${watch}`),
  ];
  return [...named('privacy', privacy), ...own.flatMap(ofWatch)];
}

function cornersOf({ x, y, width, height }: NonNullable<WatchSpec['crop']>): Polygon {
  return [
    [x, y],
    [x + width, y],
    [x + width, y + height],
    [x, y + height],
  ];
}

/** Throws ERR_CAMERA where the camera breaks or shows nothing, and the reason of `signal`. */
async function firstFrame({ uri, privacy }: Pick<CameraConfig, 'uri' | 'privacy'>, signal: AbortSignal): Promise<Frame> {
  const camera = new Camera({ id: 'mask', source: openSource(uri, { sidePx: SIDE_PX }), stallMs: PATIENCE_MS, frozenMs: 0, privacy });
  const lost = new AbortController();
  camera.on('state', (state) => {
    if (state === 'offline' || state === 'stalled') lost.abort(new MiphaError('ERR_CAMERA', camera.status().error ?? 'no picture came'));
  });
  camera.start();
  try {
    const frame = await camera.slot.next(undefined, AbortSignal.any([signal, lost.signal]));
    frame.hold?.(); // stopping the camera does not give its memory back to anybody
    return frame;
  } finally {
    await camera.stop();
  }
}

/** Throws ERR_OPTION for a file that is there, unless told to write over it, and for one that cannot be written. */
async function write(out: string, data: Buffer, force: boolean): Promise<void> {
  try {
    await writeFile(out, data, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw optionError('out', 'a new file, or --force to write over one', `${out}, which is there`);
    throw optionError('out', 'a file that can be written', `${out} (${message})`);
  }
}
