/** The schema of manifest.json: everything about a package except its tensors. Field names are those the native reader knows. */
import { z } from 'zod';
import { formatError, parseJson, validate } from './format.js';

export const FORMAT_VERSION = 1;
export const MANIFEST_FILE = 'manifest.json';
export const WEIGHTS_FILE = 'weights.safetensors';
export const GOLDEN_FILE = 'golden.json';
export const TOKENIZER_FOLDER = 'tokenizer';

const count = (largest: number) => z.int().min(1).max(largest);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');

/** Path of a file inside the package: plain names joined by slashes, so that it can never lead outside. */
export const insidePath = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/, 'expected plain file names joined by slashes');

export const fileSchema = z.strictObject({ bytes: z.int().min(0), sha256 });

const provenance = z.strictObject({
  name: z.string().max(500),
  licence: z.string().max(100).optional(), // as the model card says it, e.g. "apache-2.0"
  files: z.record(z.string(), sha256), // every file that was read → its sha256
});

/** Sizes and switches of a transformer block, as native/model/block.h describes them. The limits are those of native/model/config.cc. */
const block = {
  hidden: count(8192), // width of the residual stream
  intermediate: count(65536), // width inside the MLP
  heads: count(1024),
  kvHeads: count(1024), // of k and v; neighbouring heads share one
  headSize: count(1024),
  norm: z.enum(['layer', 'rms']),
  epsilon: z.number().positive().max(1), // of every norm
  activation: z.enum(['gelu_tanh', 'gelu_erf', 'quick_gelu', 'silu']),
  gated: z.boolean(), // down(activation(gate x) ∘ up x) instead of down(activation(up x))
  residual: z.enum(['sequential', 'parallel', 'parallel_two_norms']),
};
const blockSchema = z.object(block);
export type BlockSizes = z.infer<typeof blockSchema>;

/** The tower. `layers` is how many run. */
export const visionSchema = z.strictObject({
  ...block,
  imageSize: count(2048), // pixels per side
  patchSize: count(128), // pixels per side
  layers: count(256),
  prefixRows: z.int().min(0).max(64), // learned rows before those of the patches: class token, registers
  skippedRows: z.int().min(0).max(64), // leading rows that the projector does not see
  preNorm: z.boolean(), // a norm before the first block
});

/** The decoder. */
export const languageSchema = z.strictObject({
  ...block,
  layers: count(256),
  rotaryDims: z.int().min(0).max(8192), // leading dims of each head that are rotated
  ropeTheta: z.number().min(1).max(1e12),
  vocab: count(262_143), // rows of the embedding and of the head
  tokens: count(262_143), // ids the tokenizer knows; rows from here on are padding
  context: count(32_767), // positions, image tokens included
});

/**
 * `layers`: linear layers with an erf GELU between; 0: identity. `pooled`: then 2 × 2 rows become one and a depthwise convolution of their
 * neighbourhood is added (LDPv2 of MobileVLM V2, arXiv 2402.03766).
 */
const projectorSchema = z.strictObject({ layers: z.int().min(0).max(8), pooled: z.boolean() });

export const architectureSchema = z.strictObject({ vision: visionSchema, projector: projectorSchema, language: languageSchema });

const channel = z.number().min(-1e6).max(1e6);
const above0 = channel.positive();
const byte = z.int().min(0).max(255);
/**
 * How a picture becomes the tower's input: every backend reads these numbers, none has its own. Resized as `aspect` says until its shorter side has
 * `shortestSide` pixels; the tower sees the imageSize × imageSize in its middle.
 */
export const preprocessingSchema = z.strictObject({
  aspect: z.enum(['pad', 'squash', 'crop']), // pad: to a square first; squash: each side on its own; crop: keeps its shape and loses its ends
  shortestSide: count(4096), // pixels, imageSize or more
  filter: z.enum(['bicubic', 'bilinear']), // Pillow's
  background: z.tuple([byte, byte, byte]), // red, green, blue of the border
  mean: z.tuple([channel, channel, channel]), // of red, green and blue in 0..1
  std: z.tuple([above0, above0, above0]),
});

const token = z.string().min(1).max(100); // a name that the tokenizer knows

/**
 * One turn is `user` + message + `assistant`; the very first is preceded by `system`, and all of it by the token `begin`. A message about a picture
 * starts with `image`, whose "<image>" is replaced by the picture's features. A finished answer is `answer` + its words + the token `end`, and the next
 * turn follows at once. `stops` end an answer that is being written.
 */
export const promptSchema = z.strictObject({
  begin: token.optional(),
  tokens: z.array(token).max(64), // what stands in the texts below as a token, not as its letters
  system: z.string().max(10_000),
  user: z.string().max(1000),
  image: z.string().max(1000),
  /**
   * How the text behind the picture is tokenized: as a text of its own, or as one that goes on behind a token. Tokenizers of sentencepiece tell these
   * apart: a text begins with a space that nobody wrote.
   */
  afterPicture: z.enum(['apart', 'continued']),
  assistant: z.string().max(1000),
  answer: z.string().max(1000),
  end: token,
  stops: z.array(token).min(1).max(16),
});

export const precisionSchema = z.enum(['w8a8', 'w8a16', 'f16']);
export type Precision = z.infer<typeof precisionSchema>;

export const manifestSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  name: z.string().min(1).max(200),
  source: provenance,
  lora: provenance.omit({ licence: true }).optional(), // the adapter that was merged
  architecture: architectureSchema,
  preprocessing: preprocessingSchema,
  prompt: promptSchema,
  recipe: z.record(z.string().max(100), precisionSchema), // matrix → how it is stored
  files: z.record(insidePath, fileSchema),
});

export type Architecture = z.infer<typeof architectureSchema>;
export type Preprocessing = z.infer<typeof preprocessingSchema>;
export type PromptTemplate = z.infer<typeof promptSchema>;
export type Manifest = z.infer<typeof manifestSchema>;
export type FileRecord = z.infer<typeof fileSchema>;

/** Text of a manifest.json → Manifest. `path` is for the error. */
export function parseManifest(path: string, text: string): Manifest {
  const manifest = parseJson(path, text, manifestSchema);
  checkArchitecture(path, manifest.architecture);
  const { imageSize } = manifest.architecture.vision;
  const { shortestSide } = manifest.preprocessing;
  if (shortestSide < imageSize) throw formatError(`${path}: preprocessing.shortestSide`, `at least vision.imageSize (${imageSize})`, shortestSide);
  if (!(WEIGHTS_FILE in manifest.files)) throw formatError(`${path}: files`, `an entry ${WEIGHTS_FILE}`, Object.keys(manifest.files));
  return manifest;
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Sizes within what can be run, and the rules between them: checked once for checkpoints and packages alike. */
export function checkArchitecture(path: string, architecture: Architecture): void {
  const { vision, projector, language } = validate(path, architecture, architectureSchema);
  const multiple = (field: string, value: number, of: number) => {
    if (value % of !== 0) throw formatError(`${path}: ${field}`, `a multiple of ${of}`, value);
  };
  const atMost = (field: string, value: number, limit: number) => {
    if (value > limit) throw formatError(`${path}: ${field}`, `at most ${limit}`, value);
  };
  for (const [name, part] of Object.entries({ vision, language })) {
    multiple(`${name}.intermediate`, part.intermediate, 8);
    multiple(`${name}.headSize`, part.headSize, 8);
    multiple(`${name}.heads`, part.heads, part.kvHeads);
    atMost(`${name}: heads times headSize`, part.heads * part.headSize, 8192);
  }
  atMost('vision.patchSize', vision.patchSize, vision.imageSize);
  atMost('vision.skippedRows', vision.skippedRows, towerRows(vision) - 1);
  multiple('language.rotaryDims', language.rotaryDims, 2);
  atMost('language.rotaryDims', language.rotaryDims, language.headSize);
  atMost('language.tokens', language.tokens, language.vocab);
  atMost('image tokens', imageTokens(architecture), language.context - 1);
  if (projector.layers === 0 && vision.hidden !== language.hidden)
    throw formatError(`${path}: vision.hidden`, `${language.hidden}, for an identity projector`, vision.hidden);
  if (!projector.pooled) return;
  multiple('rows and columns of patches, for a projector that pools', gridOf(vision), 2);
  if (vision.skippedRows !== vision.prefixRows)
    throw formatError(`${path}: vision.skippedRows`, `${vision.prefixRows}, for a projector that pools`, vision.skippedRows);
}

/** Rows, and columns, of patches. */
export function gridOf(vision: Pick<Architecture['vision'], 'imageSize' | 'patchSize'>): number {
  return Math.floor(vision.imageSize / vision.patchSize);
}

/** Rows of hidden states in the tower. */
export function towerRows(vision: Architecture['vision']): number {
  return vision.prefixRows + gridOf(vision) ** 2;
}

/** Rows of a sequence that one picture takes up. */
export function imageTokens({ vision, projector }: Pick<Architecture, 'vision' | 'projector'>): number {
  return projector.pooled ? gridOf(vision) ** 2 / 4 : towerRows(vision) - vision.skippedRows;
}
