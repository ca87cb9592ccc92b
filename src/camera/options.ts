/** The options of camera addresses, `scheme://rest?key=value&…`: one table that checks them, gives the defaults, and stands in docs/cameras.md. */
import { nearestKey, optionError } from '../errors.js';
import type { CameraUri } from './uri.js';

interface NumberOption {
  type: 'number';
  min: number;
  max: number;
  whole?: true;
  default: number | null; // null: not asked for, which `otherwise` explains
  otherwise?: string;
  about: string;
}

interface ChoiceOption {
  type: 'choice';
  choices: readonly string[];
  default: string;
  about: string;
}

interface BooleanOption {
  type: 'boolean';
  default: boolean;
  about: string;
}

export type CameraOption = NumberOption | ChoiceOption | BooleanOption;

const SIDE = { type: 'number', min: 1, max: 16_384, whole: true } as const;
const CAPTURE_FPS = { type: 'number', min: 1, max: 1000, whole: true } as const;
const OWN_FPS = { type: 'number', min: 0, max: 1000 } as const;
const DRIVER = { default: null, otherwise: "the driver's choice" } as const;
const LOOP = { type: 'boolean', default: false, about: 'begin again at the end; without it the camera is offline then' } as const;

/** By scheme. What follows the `?` of an `rtsp://` address is the camera's own, and a `gst:` pipeline has none. */
export const CAMERA_OPTIONS = {
  synthetic: {
    seed: { type: 'number', min: 0, max: 2 ** 32 - 1, whole: true, default: 1, about: 'the first scene, and what follows it' },
    change_ms: { type: 'number', min: 1, max: 86_400_000, default: 3000, about: 'milliseconds between two changes' },
    fps: { ...OWN_FPS, default: 10, about: 'pictures a second; 0: as fast as they are read' },
    cup: { type: 'choice', choices: ['any', 'one'], default: 'any', about: '`one`: exactly one cup in every scene' },
  },
  images: {
    fps: { ...OWN_FPS, default: 1, about: 'pictures a second, a slow reader misses some; 0: every picture, as fast as they are read' },
    loop: LOOP,
  },
  v4l2: {
    format: { type: 'choice', choices: ['raw', 'mjpeg'], default: 'raw', about: 'what the camera sends; many give their full rate as MJPEG only' },
    width: { ...SIDE, ...DRIVER, about: 'pixels, as captured' },
    height: { ...SIDE, ...DRIVER, about: 'pixels, as captured' },
    fps: { ...CAPTURE_FPS, ...DRIVER, about: 'pictures a second' },
  },
  csi: {
    width: { ...SIDE, default: 1280, about: 'pixels, as captured' },
    height: { ...SIDE, default: 720, about: 'pixels, as captured' },
    fps: { ...CAPTURE_FPS, default: 30, about: 'pictures a second' },
    mode: { type: 'number', min: 0, max: 100, whole: true, ...DRIVER, about: 'of the sensor, as `nvarguscamerasrc` numbers them' },
  },
  file: { loop: LOOP },
} as const satisfies Record<string, Record<string, CameraOption>>;

type Table = typeof CAMERA_OPTIONS;
type Value<O> = O extends { type: 'number'; default: infer D }
  ? number | (D extends null ? null : never)
  : O extends { choices: readonly (infer C)[] }
    ? C
    : boolean;

/** Every option of the scheme, defaults included. Throws ERR_OPTION for an unknown option, one given twice, and a value that is none. */
export function readOptions<S extends keyof Table>(uri: CameraUri, scheme: S): { -readonly [K in keyof Table[S]]: Value<Table[S][K]> } {
  const known: Record<string, CameraOption> = CAMERA_OPTIONS[scheme];
  const names = Object.keys(known);
  for (const key of uri.options.keys()) {
    const label = `${uri.name}: ${key}`;
    if (!names.includes(key)) throw optionError(label, `one of the options ${names.join(', ')}`, key, nearestKey(key, names));
    if (uri.options.getAll(key).length > 1) throw optionError(label, 'one value', uri.options.getAll(key));
  }
  const values = Object.entries(known).map(([key, option]) => {
    const text = uri.options.get(key);
    return [key, text === null ? option.default : parse(option, text, `${uri.name}: ${key}`)];
  });
  return Object.fromEntries(values);
}

function parse(option: CameraOption, text: string, label: string): number | string | boolean {
  if (option.type !== 'number') {
    const choices = option.type === 'boolean' ? ['true', 'false'] : option.choices;
    if (!choices.includes(text)) throw optionError(label, `one of ${choices.join(', ')}`, text, nearestKey(text, choices));
    return option.type === 'boolean' ? text === 'true' : text;
  }
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= option.min && value <= option.max && (!option.whole || Number.isInteger(value))) return value;
  throw optionError(label, `a ${rangeOf(option)}`, text);
}

function rangeOf({ whole, min, max }: NumberOption): string {
  return `${whole ? 'whole ' : ''}number from ${min} to ${max}`;
}

/** For people whose camera ends after one pass. */
export function loopHint({ query, options }: CameraUri): string {
  return options.has('loop') ? 'loop=true goes round' : `add ${query === '' ? '?' : '&'}loop=true to go round`;
}

const BLOCK = /(<!-- options of (\w+) -->\n)[\s\S]*?(<!-- end -->)/g;

/** The document with the table of each scheme's options between its marks `<!-- options of SCHEME -->` and `<!-- end -->`. */
export function withOptionTables(document: string): string {
  return document.replace(BLOCK, (_, begin: string, scheme: string, end: string) => `${begin}${optionTable(scheme as keyof Table)}${end}`);
}

function optionTable(scheme: keyof Table): string {
  const options: [string, CameraOption][] = Object.entries(CAMERA_OPTIONS[scheme]);
  const rows = options.map(([key, option]) => {
    const values =
      option.type === 'number' ? rangeOf(option) : option.type === 'boolean' ? '`true`, `false`' : option.choices.map((c) => `\`${c}\``).join(', ');
    const fallback = option.default === null ? (option as NumberOption).otherwise : `\`${option.default}\``;
    return `| \`${key}\` | ${values} | ${fallback} | ${option.about} |\n`;
  });
  return ['| Option | Value | Default | |\n', '|---|---|---|---|\n', ...rows].join('');
}
