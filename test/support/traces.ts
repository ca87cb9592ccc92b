/** What of the secret of private-part.ts some bytes tell, whatever they are: pictures anywhere in them, also as Base64 in a text, and bare pixels. */
import sharp from 'sharp';
import { leaning, SECRET } from './private-part.js';

const PICTURES = [Buffer.from([0xff, 0xd8, 0xff]), Buffer.from([0x89, 0x50, 0x4e, 0x47]), Buffer.from('WEBPVP8')];
const BEFORE_WEBP = 8;
const BASE64 = /[A-Za-z0-9+/_-]{40,}={0,2}/g;
const BARE = Buffer.from([...SECRET, ...SECRET, ...SECRET, ...SECRET]);
const WRITTEN = /\b255,\s*0,\s*255,\s*255,\s*0,\s*255\b/;

/** 0: nothing; 1: the colour itself. */
export async function traceIn(bytes: Buffer): Promise<number> {
  const text = bytes.toString('latin1');
  if (bytes.includes(BARE) || WRITTEN.test(text)) return 1;
  const encoded = [...text.matchAll(BASE64)].map(([run]) => Buffer.from(run, 'base64'));
  const shares = await Promise.all([bytes, ...encoded].flatMap((each) => picturesIn(each).map(shareOf)));
  const bare = encoded.some((each) => each.includes(BARE));
  return Math.max(0, bare ? 1 : 0, ...shares);
}

function picturesIn(bytes: Buffer): Buffer[] {
  return PICTURES.flatMap((sign, kind) => {
    const found: Buffer[] = [];
    for (let at = bytes.indexOf(sign); at >= 0; at = bytes.indexOf(sign, at + 1)) found.push(bytes.subarray(kind === 2 ? at - BEFORE_WEBP : at));
    return found;
  });
}

/** What begins like a picture and is none tells nothing. */
async function shareOf(picture: Buffer): Promise<number> {
  const data = await sharp(picture, { failOn: 'none' })
    .flatten()
    .toColourspace('srgb')
    .raw()
    .toBuffer()
    .catch(() => null);
  return data === null ? 0 : leaning({ data });
}
