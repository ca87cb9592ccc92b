/** The public entry: load a package, look at pictures, ask. */
import { statSync } from 'node:fs';
import type { NativeStatus } from '../addon/addon.js';
import { callSite, checkKeys, MiphaError, nearestKey, optionError } from '../errors.js';
import { WEIGHTS_FILE } from '../package/manifest.js';
import { longerSide } from '../package/pictures.js';
import { openBeforeWeights } from '../package/verify.js';
import { Asker } from './asker.js';
import { candidates, openFirst, optionsOf, type PassedOver } from './backend-choice.js';
import { BACKENDS, type Backend } from './backends.js';
import { CALL_KEYS, Call, type CallOptions, checkNumber, checkSignal } from './call.js';
import { Conversation, type ConverseOptions, checkHistory } from './conversation.js';
import type { Engine, Place } from './engine.js';
import { frameId, type ImageInput, toPixels } from './image.js';
import { loadWhileChecking, openChecked } from './load.js';
import { View } from './view.js';

export interface LoadOptions {
  /** Default `auto`: TensorRT where engines of this package were built for this machine and hold, else CUDA where it runs the package, else the CPU. */
  backend?: Backend | undefined;
  /** Threads of the CPU backend. Default: one per physical core. */
  threads?: number | undefined;
  /** Rows of the key/value cache that all views and questions share. Default: enough for one view and a batch of questions. */
  cacheTokens?: number | undefined;
  /** `stage` is `verify`, stages of the backend, which may be over by then, and `self-test`; `fraction` goes from 0 to 1 in each. */
  onProgress?: ((stage: string, fraction: number) => void) | undefined;
  /** Aborting rejects with `signal.reason` and frees everything. */
  signal?: AbortSignal | undefined;
}

export interface LookOptions extends CallOptions {
  /** Name or number of the frame, repeated in every answer about it. Default: the id of a camera's frame. */
  frame?: string | number | undefined;
}

export interface MiphaStatus extends NativeStatus {
  passedOver: PassedOver[];
}

export class Mipha extends Asker implements AsyncDisposable {
  private constructor(
    engine: Engine,
    /** Name of the package. */
    readonly name: string,
    /** Twelve hexadecimal digits that change with the weights. */
    readonly revision: string,
    /** Longer side, in pixels, of pictures that have all that the model sees: of larger ones it sees no more. */
    readonly imageSize: number,
    /** Positions of the model: what a picture, the words before an answer, and the answer may take up together. */
    readonly context: number,
    private readonly passedOver: PassedOver[],
  ) {
    super(engine);
  }

  /**
   * Loads a package folder: plans all memory, packs the weights while every file is checked, and reproduces the package's golden answer.
   * Throws ERR_OPTION, ERR_MODEL_MISSING, ERR_MODEL_FORMAT, ERR_MODEL_CHECKSUM, ERR_ADDON_LOAD, ERR_BACKEND_UNAVAILABLE, ERR_DEVICE, ERR_MEMORY, ERR_SELF_TEST.
   */
  static async load(folder: string, options: LoadOptions = {}): Promise<Mipha> {
    const site = callSite(Mipha.load);
    checkLoad(folder, options);
    const { backend = 'auto', threads = 0, cacheTokens = 0, signal } = options;
    const onProgress = (stage: string, fraction: number) => options.onProgress?.(stage, fraction);
    signal?.throwIfAborted();
    onProgress('verify', 0);
    const opening = await openBeforeWeights(folder, { signal, onProgress: (fraction) => onProgress('verify', fraction) });
    const passedOver: PassedOver[] = [];
    const engine = await loadWhileChecking(opening, { signal, onProgress }, (during) =>
      openFirst(candidates(backend), passedOver, async (name) => {
        const own = await optionsOf(name, folder, threads, site);
        return await openChecked(opening, during, { backend: name, cacheTokens, ...own }, site);
      }),
    );
    const { name, files, preprocessing, architecture } = opening.manifest;
    const revision = files[WEIGHTS_FILE]?.sha256.slice(0, 12) ?? '';
    return new Mipha(engine, name, revision, longerSide(preprocessing), architecture.language.context, passedOver);
  }

  /** Looks at a picture once; questions about it are asked on the view. Throws ERR_OPTION, ERR_IMAGE, ERR_CONTEXT_FULL, ERR_MEMORY. */
  async look(image: ImageInput, options: LookOptions = {}): Promise<View> {
    const site = callSite(this.look);
    checkKeys('look', options, [...CALL_KEYS, 'frame']);
    const frame = options.frame ?? frameId(image);
    if (frame !== undefined && typeof frame !== 'string' && typeof frame !== 'number') throw optionError('look.frame', 'a string or a number', frame);
    const call = new Call('look', options, site);
    this.engine.checkAlive(call);
    call.check();
    const pixels = await toPixels(image, options.signal);
    const { view: handle, tokens, queueMs, preprocessMs, visionMs, prefillMs } = await this.engine.look(pixels, call);
    const timings = { queueMs, preprocessMs, visionMs, prefillMs, totalMs: performance.now() - call.begin };
    return new View(this.engine, { handle, tokens, width: pixels.width, height: pixels.height, frame, timings });
  }

  /** A conversation without a picture. */
  async converse(options: ConverseOptions = {}): Promise<Conversation> {
    const site = callSite(this.converse);
    checkKeys('converse', options, [...CALL_KEYS, 'history']);
    const turns = checkHistory(options.history);
    const handle = await this.engine.converse(-1, new Call('converse', options, site));
    return new Conversation(this.engine, handle, (question, history) => textOnly(this.engine.prompt.textOnly(question, history)), turns);
  }

  /** Ids of a text as the model's tokenizer gives them; special tokens are never among them. */
  tokenize(text: string): number[] {
    if (typeof text !== 'string') throw optionError('tokenize.text', 'a string', text);
    return this.engine.tokenizer.encode(text);
  }

  /** Backend, memory in bytes by purpose, what is open and waiting, and which better backend could not be had. */
  status(): MiphaStatus {
    return { ...this.engine.status(), passedOver: this.passedOver };
  }

  /** Cancels everything under way (those calls reject with ERR_DISPOSED) and frees all memory. Further calls wait for the same end. */
  dispose(): Promise<void> {
    return this.engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** ask(), stream() and askAll() on Mipha itself are text only. */
  protected override place(question: string): Place {
    return textOnly(this.engine.prompt.textOnly(question));
  }
}

function textOnly(ids: Int32Array): Place {
  return { view: -1, rows: 0, ids, preprocessMs: 0, visionMs: 0 };
}

function checkLoad(folder: unknown, options: LoadOptions): void {
  if (typeof folder !== 'string' || folder === '') throw optionError('load.folder', 'the path of a package', folder);
  checkKeys('load', options, ['backend', 'threads', 'cacheTokens', 'onProgress', 'signal']);
  const { backend, threads, cacheTokens, onProgress, signal } = options;
  if (backend !== undefined && !BACKENDS.includes(backend)) {
    throw optionError('load.backend', `one of ${BACKENDS.join(', ')}`, backend, nearestKey(String(backend), BACKENDS));
  }
  checkNumber('load.threads', threads, { whole: true, least: 1, most: 1024 });
  checkNumber('load.cacheTokens', cacheTokens, { whole: true, least: 1, most: 10_000_000 });
  checkSignal('load.signal', signal);
  if (onProgress !== undefined && typeof onProgress !== 'function') throw optionError('load.onProgress', 'a function', onProgress);
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found?.isDirectory() !== true) {
    throw new MiphaError('ERR_MODEL_MISSING', `${folder}: no such package folder`, { details: { path: folder } });
  }
}
