/** images://FOLDER, images://FOLDER/*.jpg or images://FILE: pictures from files, for replay. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MiphaError, optionError } from '../errors.js';
import { decodePicture } from '../picture/decode.js';
import type { Source } from './frame.js';
import { loopHint, readOptions } from './options.js';
import { ticks } from './pace.js';
import { type CameraUri, decodePath } from './uri.js';

const PICTURE_FILE = /\.(jpe?g|png|webp)$/i;

/**
 * Files come in the order of their names; at a given pace a slow reader misses some. A relative path starts at the working directory; `*` and `?`
 * (written %3F) may stand in the last part. Files that are no pictures or damaged are passed over as `unreadable`.
 */
export function imagesSource(uri: CameraUri, sidePx: number): Source {
  const { fps, loop } = readOptions(uri, 'images');
  const path = decodePath(uri.rest);
  if (path === '') throw optionError('camera', 'images://FOLDER, images://FOLDER/*.jpg or images://FILE', uri.name);

  return {
    name: uri.name,
    ...(loop ? {} : { afterEnd: loopHint(uri) }),
    async *open(signal, onDropped) {
      const files = await list(path);
      let failures = 0; // in a row
      const onMissed = (tick: number) => {
        if (loop || tick < files.length) onDropped('unread');
      };
      for await (const tick of ticks(fps, signal, onMissed)) {
        if (tick >= files.length && !loop) return;
        const file = files[tick % files.length] as string;
        try {
          const picture = await decodePicture(await readFile(file), file, { maxSidePx: sidePx });
          failures = 0;
          yield { ...picture, format: 'rgb' };
        } catch (error) {
          onDropped('unreadable', messageOf(error, file));
          if (++failures < files.length) continue;
          throw new MiphaError('ERR_CAMERA', `${path}: none of the ${files.length} files there is a readable picture`, { details: { path } });
        }
      }
    },
  };
}

async function list(path: string): Promise<string[]> {
  const pattern = basename(path);
  const isGlob = /[*?]/.test(pattern);
  const folder = isGlob ? dirname(path) : path;
  const matches = isGlob ? globPattern(pattern) : PICTURE_FILE;
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOTDIR' && !isGlob) return undefined;
    throw new MiphaError('ERR_CAMERA', `${folder}: expected a folder of pictures: ${cause.message}`, { details: { path }, cause });
  });
  if (names === undefined) return [path];
  const files = names.filter((name) => matches.test(name)).sort();
  if (files.length === 0) throw new MiphaError('ERR_CAMERA', `${path}: no JPEG, PNG or WebP file there`, { details: { path } });
  return files.map((name) => join(folder, name));
}

/** `*` stands for any characters, `?` for one; a name that starts with a dot must be meant. */
function globPattern(glob: string): RegExp {
  const body = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${/^[*?]/.test(glob) ? '(?!\\.)' : ''}${body}$`);
}

function messageOf(error: unknown, file: string): string {
  const { message } = error as Error;
  return message.startsWith(`${file}: `) ? message : `${file}: ${message}`;
}
