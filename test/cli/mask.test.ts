import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Outcome, mipha as run } from './run.js';

const CONFIG = `
node: n
cameras:
  front:
    uri: synthetic://kitchen
    privacy: [[[0.55, 0.05], [0.98, 0.1], [0.9, 0.55], [0.6, 0.5]]]
  gone: { uri: images://not-there }
watches:
  lamp: { camera: front, question: Is the lamp on?, zone: [[[0, 0], [0.35, 0], [0.3, 0.5], [0, 0.45]]], ignore: [[[0.2, 0.3], [0.3, 0.3], [0.3, 0.4]]] }
  table: { camera: front, question: Is there a cup?, crop: { y: 0.55, height: 0.45 } }
  other: { camera: gone, question: Why?, zone: [[[0, 0], [1, 0], [1, 1]]] }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-mask-'));
  writeFileSync(join(folder, 'mipha.yaml'), CONFIG);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mask = (...args: string[]): Promise<Outcome> => run(['mask', ...args], { cwd: folder });

/** How many pixels are of this colour, to within what scaling and JPEG do. */
async function pixels(file: string, [r, g, b]: readonly [number, number, number]): Promise<number> {
  const { data } = await sharp(join(folder, file)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  let count = 0;
  for (let i = 0; i < data.length; i += 3) {
    if ([r, g, b].every((level, channel) => Math.abs((data[i + channel] as number) - level) < 24)) count++;
  }
  return count;
}

const RED = [255, 59, 48] as const;
const GREEN = [52, 199, 89] as const;
const ORANGE = [255, 149, 0] as const;
const BLUE = [10, 132, 255] as const;

describe('mipha mask', () => {
  it.each(['front.png', 'front.jpg'])('draws privacy, zone, ignore and crop, and names them: %s', async (file) => {
    const { code, stdout, stderr } = await mask('front', '--config', 'mipha.yaml', '--out', file);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toBe(`${file}: 960 x 720, of a frame of 320 x 240: privacy, zone of lamp, ignore of lamp, crop of table\n`);
    for (const color of [RED, GREEN, ORANGE, BLUE]) expect(await pixels(file, color)).toBeGreaterThan(200);
    const { data, info } = await sharp(join(folder, file)).raw().toBuffer({ resolveWithObject: true });
    const black = (x: number, y: number) => data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3).every((level) => level < 12);
    expect([black(600, 100), black(800, 330), black(300, 100)]).toEqual([true, true, false]);
  });

  it('tries what is not written down yet, and writes to stdout', async () => {
    const { code, stderr, stdout } = await mask('front', '--config', 'mipha.yaml', '--set', 'cameras.front.privacy=[]');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '960 x 720, of a frame of 320 x 240: zone of lamp, ignore of lamp, crop of table\n' });
    expect(stdout.slice(1, 4)).toBe('PNG');
  });

  it('takes an address', async () => {
    const { code, stderr } = await mask('synthetic://kitchen?seed=3', '--out', 'view.png');
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'view.png: 960 x 720, of a frame of 320 x 240: nothing drawn\n' });
    expect(await pixels('view.png', RED)).toBeLessThan(200);
  });

  it('writes over a file only when told to', async () => {
    writeFileSync(join(folder, 'mine.png'), 'mine');
    const refused = await mask('front', '--config', 'mipha.yaml', '--out', 'mine.png');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('expected a new file, or --force to write over one, received "mine.png, which is there"');
    expect(readFileSync(join(folder, 'mine.png'), 'utf8')).toBe('mine');
    expect((await mask('front', '--config', 'mipha.yaml', '--out', 'mine.png', '--force')).code).toBe(0);
    expect(await pixels('mine.png', GREEN)).toBeGreaterThan(200);
  });

  it.each([
    [['frnt', '--config', 'mipha.yaml', '--out', 'x.png'], 2, 'expected one of front, gone, received "frnt" (did you mean front?)'],
    [['front', '--out', 'x.png'], 2, 'an address, or with --config the id of a camera in it'],
    [['synthetic://kitchen', '--config', 'mipha.yaml', '--out', 'x.png'], 2, 'the id of a camera in mipha.yaml'],
    [['front', '--config', 'mipha.yaml', '--out', 'x.gif'], 2, 'a file that ends in .png or .jpg'],
    [['front', '--config', 'mipha.yaml', '--out', 'no/where/x.png'], 2, 'a file that can be written'],
    [['front', '--config', 'none.yaml', '--out', 'x.png'], 1, 'none.yaml'],
    [['gone', '--config', 'mipha.yaml', '--out', 'x.png'], 1, 'ERR_CAMERA'],
    [['front', '--config', 'mipha.yaml', '--set', 'cameras.front.privacy=[[[0,0],[1,1]]]', '--out', 'x.png'], 1, 'a list of 3 to 64 entries'],
  ])('refuses %j', async (args, code, words) => {
    const outcome = await mask(...args);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toContain(words);
  });
});
