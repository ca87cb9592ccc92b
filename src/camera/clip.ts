/** A film or a folder of pictures as picture files and times, for those who want every picture rather than the newest. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MiphaError, optionError } from '../errors.js';
import { hasElement, installCommand } from './elements.js';

export interface Still {
  path: string;
  atMs: number; // from the beginning
}

export interface Stills extends AsyncDisposable {
  readonly stills: readonly Still[];
}

export interface StillsOptions {
  /** Pictures a second: of a film, those that are taken; of a folder, how fast they follow each other. */
  fps: number;
  /** Of a film: scaled down to this longest side. */
  sidePx: number;
  signal?: AbortSignal | undefined;
}

const PICTURE_FILE = /\.(jpe?g|png|webp)$/i;
const ELEMENTS = ['uridecodebin', 'videorate', 'videoscale', 'videoconvert', 'jpegenc', 'multifilesink'];
const STDERR_CHARS = 4000;

/** A folder with pictures, in the order of their names, or a film that GStreamer reads. Throws ERR_OPTION, ERR_CAMERA, and the reason of `signal`. */
export async function stillsOf(path: string, options: StillsOptions): Promise<Stills> {
  const names = await readdir(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOTDIR') return null;
    throw new MiphaError('ERR_CAMERA', `${path}: expected a film or a folder of pictures: ${cause.message}`, { details: { path }, cause });
  });
  if (names !== null) return { stills: list(path, names, options.fps), [Symbol.asyncDispose]: async () => {} };
  if (PICTURE_FILE.test(path)) throw optionError('on', 'a film or a folder of pictures', path);
  const folder = await mkdtemp(join(tmpdir(), 'mipha-stills-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await extract(path, folder, options);
    return { stills: list(path, await readdir(folder), options.fps, folder), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function list(path: string, names: readonly string[], fps: number, folder = path): Still[] {
  const files = names.filter((name) => PICTURE_FILE.test(extname(name))).sort();
  if (files.length === 0) throw new MiphaError('ERR_CAMERA', `${path}: no picture there`, { details: { path } });
  return files.map((name, index) => ({ path: join(folder, name), atMs: (index * 1000) / fps }));
}

async function extract(path: string, folder: string, { fps, sidePx, signal }: StillsOptions): Promise<void> {
  const there = await Promise.all(ELEMENTS.map(async (name) => ({ name, has: await hasElement(name) })));
  const missing = there.filter(({ has }) => !has).map(({ name }) => name);
  if (missing.length > 0)
    throw new MiphaError('ERR_CAMERA', `${path}: GStreamer lacks ${missing.join(', ')}; ${installCommand(missing)}`, { details: { path } });
  const rate = `${Math.round(fps * 1000)}/1000`;
  const stages = [
    ['uridecodebin', `uri=${pathToFileURL(resolve(path)).href}`, 'caps=video/x-raw(ANY)', 'expose-all-streams=false'],
    ['videorate'],
    ['videoscale'],
    [`video/x-raw,framerate=${rate},pixel-aspect-ratio=1/1,width=[1,${sidePx}],height=[1,${sidePx}]`],
    ['videoconvert'],
    ['jpegenc', 'quality=95'],
    ['multifilesink', `location=${join(folder, '%08d.jpg')}`],
  ];
  const args = stages.flatMap((stage, index) => (index === 0 ? stage : ['!', ...stage]));
  const child = spawn('gst-launch-1.0', ['-q', ...args], { stdio: ['ignore', 'ignore', 'pipe'], signal, env: { ...process.env, LC_ALL: 'C.UTF-8' } });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(0, STDERR_CHARS); // the first error is the reason of the others
  });
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  }).catch((cause: Error) => {
    signal?.throwIfAborted();
    throw new MiphaError('ERR_CAMERA', `${path}: ${cause.message}`, { details: { path }, cause });
  });
  if (code !== 0) throw new MiphaError('ERR_CAMERA', `${path}: ${reason(said) ?? `gst-launch-1.0 ended with ${code}`}`, { details: { path } });
}

function reason(said: string): string | undefined {
  return /^ERROR: from element [^\n]*?: (.*)$/m.exec(said)?.[1];
}
