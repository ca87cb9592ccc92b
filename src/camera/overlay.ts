/** A frame with polygons drawn over it, for whoever writes them. */
import type { Frame } from './frame.js';
import type { Polygon } from './polygon.js';

export interface Mark {
  name: string;
  /** CSS. */
  color: string;
  polygon: Polygon;
}

const LEAST_SIDE = 960; // pixels; smaller frames are enlarged until their longer side has as many: names must be legible
const STEPS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const TEXT = 'font-family="sans-serif" font-size="16" fill="#fff" stroke="#000" stroke-width="3" paint-order="stroke"';

/** A picture file with the marks, their names, and lines at every tenth of the sides to read shares off. */
export async function overlay(
  { data, width, height, format }: Pick<Frame, 'data' | 'width' | 'height' | 'format'>,
  marks: readonly Mark[],
  type: 'png' | 'jpeg',
): Promise<{ data: Buffer; width: number; height: number }> {
  const { default: sharp } = await import('sharp');
  const scale = Math.max(1, LEAST_SIDE / Math.max(width, height));
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const picture = sharp(data, { raw: { width, height, channels: format === 'rgb' ? 3 : 1 } })
    .resize({ ...size, fit: 'fill' })
    .toColourspace('srgb')
    .composite([{ input: Buffer.from(drawn(marks, size.width, size.height)) }])
    .removeAlpha();
  const file = await (type === 'png' ? picture.png() : picture.jpeg({ quality: 90, chromaSubsampling: '4:4:4' })).toBuffer();
  return { data: file, ...size };
}

function drawn(marks: readonly Mark[], width: number, height: number): string {
  const places = ([x = 0, y = 0]: readonly number[]) => `${(x * width).toFixed(1)},${(y * height).toFixed(1)}`;
  const line = (x: number, y: number, toX: number, toY: number) =>
    `<path d="M${places([x, y])}L${places([toX, toY])}" stroke="#fff" stroke-opacity="0.35" stroke-dasharray="2 6"/>`;
  const ruler = STEPS.flatMap((step) => [
    line(step, 0, step, 1),
    line(0, step, 1, step),
    `<text x="${step * width + 3}" y="16" ${TEXT}>${step}</text>`,
    `<text x="3" y="${step * height - 3}" ${TEXT}>${step}</text>`,
  ]);
  const shapes = marks.map(
    ({ color, polygon }) =>
      `<polygon points="${polygon.map(places).join(' ')}" fill="none" stroke="${color}" stroke-width="3" stroke-linejoin="round"/>`,
  );
  const names = marks.map(({ name, polygon }, index) => {
    const middle = (axis: number) => polygon.reduce((sum, point) => sum + (point[axis] ?? 0), 0) / polygon.length;
    const y = middle(1) * height + (index % 3) * 20; // marks that lie over each other keep their names apart
    const half = name.length * 4.5; // pixels, roughly
    const x = Math.max(half, Math.min(width - half, middle(0) * width));
    return `<text x="${x}" y="${Math.max(20, y)}" text-anchor="middle" ${TEXT}>${escaped(name)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${[...ruler, ...shapes, ...names].join('')}</svg>`;
}

function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
