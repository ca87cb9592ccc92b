/** A package on a backend with its tokenizer and prompt: what Mipha, View and Conversation share. */
import { join } from 'node:path';
import type { CpuOptions, LookOutcome, NativeConstraint, NativeEngine, NativeImage, NativeStatus, TensorRtOptions } from '../addon/addon.js';
import { loadAddon } from '../addon/load.js';
import { type CallSite, fromNative, MiphaError } from '../errors.js';
import { TOKENIZER_FOLDER } from '../package/manifest.js';
import { tokensOf } from '../package/prompts.js';
import type { OpenedPackage } from '../package/verify.js';
import { onAbort } from '../signals.js';
import type { Answer, Question } from './answer.js';
import type { Automaton } from './automaton.js';
import type { Call } from './call.js';
import { Prompt } from './prompt.js';
import { loadTokenizer, type Tokenizer } from './tokenizer.js';

export interface EngineOptions {
  backend: string;
  cacheTokens: number; // 0: the backend's default
  cpu?: CpuOptions;
  tensorrt?: TensorRtOptions;
  onProgress: (stage: string, fraction: number) => void;
  signal?: AbortSignal | undefined;
}

/** Where a question is asked. */
export interface Place {
  view: number; // -1: text only
  conversation?: number;
  rows: number; // of the view
  ids: Int32Array; // everything after those rows
  preprocessMs: number;
  visionMs: number;
  frame?: string | number | undefined;
}

export class Engine {
  private disposing: Promise<void> | undefined;
  private gathering = false;

  private constructor(
    private readonly native: NativeEngine,
    readonly tokenizer: Tokenizer,
    readonly prompt: Prompt,
    private readonly context: number,
  ) {}

  /** `site` is the callSite() of the public call, for native errors. */
  static async open({ folder, manifest }: OpenedPackage, options: EngineOptions, site: CallSite): Promise<Engine> {
    const { signal, onProgress, ...rest } = options;
    const addon = loadAddon();
    const tokenizer = await loadTokenizer(join(folder, TOKENIZER_FOLDER), tokensOf(manifest.prompt));
    const { vocab, context } = manifest.architecture.language;
    if (tokenizer.size > vocab) {
      throw new MiphaError('ERR_MODEL_FORMAT', `${folder}: tokenizer: expected ids below ${vocab}, received ${tokenizer.size - 1}`);
    }
    const prompt = new Prompt(tokenizer, manifest.prompt, context);
    const { vocabulary, offsets } = tokenizer.table(vocab);
    signal?.throwIfAborted();
    const { architecture, preprocessing, recipe } = manifest;
    const checked = JSON.stringify({ architecture, preprocessing, recipe });
    const job = addon.load({ folder, manifest: checked, prefix: prompt.prefix, vocabulary, vocabularyOffsets: offsets, ...rest }, onProgress);
    const unlink = onAbort(signal, () => job.cancel());
    try {
      const native = await job.done;
      const engine = new Engine(native, tokenizer, prompt, context);
      if (signal?.aborted) await engine.dispose();
      signal?.throwIfAborted();
      return engine;
    } catch (error) {
      signal?.throwIfAborted();
      throw fromNative(error, site);
    } finally {
      unlink();
    }
  }

  async look(pixels: NativeImage, call: Call): Promise<LookOutcome> {
    this.checkAlive(call);
    return await call.settle(
      () => this.native.look(pixels, call.jobOptions()),
      (outcome) => outcome.cancelled,
    );
  }

  /** `keep`: whether a cancelled answer is wanted as far as it came. */
  async ask<T>(question: Question<T>, place: Place, call: Call, onToken?: (id: number) => void, keep?: () => boolean): Promise<Answer<T>> {
    this.checkAlive(call);
    const { view, conversation, rows, ids, preprocessMs, visionMs, frame } = place;
    const maxTokens = question.maxTokens(this.context - rows - ids.length + 1); // the last token is never fed back
    const outcome = await call.settle(
      () => {
        this.gather();
        return this.native.ask({
          view,
          ids,
          maxTokens,
          stopIds: this.prompt.stopIds,
          ...question.sampling(),
          ...call.jobOptions(),
          ...(conversation === undefined ? {} : { conversation }),
          ...(question.constraint === undefined ? {} : { constraint: nativeConstraint(question.constraint.automaton) }),
          ...(onToken === undefined ? {} : { onToken }),
        });
      },
      ({ finish }) => finish === 'cancelled',
      keep,
    );
    const { promptTokens, reusedTokens, queueMs, prefillMs, decodeMs } = outcome;
    return {
      ...question.read(this.tokenizer, outcome),
      tokens: { prompt: promptTokens + reusedTokens, reused: reusedTokens, answer: outcome.ids.length },
      timings: { queueMs, preprocessMs, visionMs, prefillMs, decodeMs, totalMs: performance.now() - call.begin },
      ...(frame === undefined ? {} : { frame }),
    };
  }

  /** All that is asked in this tick goes to the worker at its end: questions about one view become one batch. */
  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    this.native.gather();
    queueMicrotask(() => {
      this.gathering = false;
      this.native.handOver();
    });
  }

  /** The ids and logit margins of a greedy answer, for the self-test. */
  async greedy(view: number, ids: Int32Array, maxTokens: number, call: Call): Promise<{ ids: Int32Array; margins: Float32Array }> {
    return await call.settle(
      () => this.native.ask({ view, ids, maxTokens, stopIds: this.prompt.stopIds, temperature: 0, topP: 1, seed: 0, ...call.jobOptions() }),
      ({ finish }) => finish === 'cancelled',
    );
  }

  async converse(view: number, call: Call): Promise<number> {
    this.checkAlive(call);
    return await call.settle(
      () => ({ done: this.native.converse(view), cancel: () => {} }),
      () => false,
    );
  }

  releaseView(view: number): void {
    if (this.disposing === undefined) this.native.releaseView(view);
  }

  releaseConversation(conversation: number): void {
    if (this.disposing === undefined) this.native.releaseConversation(conversation);
  }

  status(): NativeStatus {
    if (this.disposing !== undefined) throw new MiphaError('ERR_DISPOSED', 'The engine has been disposed');
    return this.native.status();
  }

  dispose(): Promise<void> {
    this.disposing ??= this.native.dispose();
    return this.disposing;
  }

  checkAlive(call: Call): void {
    if (this.disposing !== undefined) throw call.error('ERR_DISPOSED', 'The engine has been disposed');
  }
}

/** What native code holds of an automaton, as long as the automaton is there: of megabytes, and each is asked with many times. */
const nativeConstraints = new WeakMap<Automaton, NativeConstraint>();

function nativeConstraint(automaton: Automaton): NativeConstraint {
  const known = nativeConstraints.get(automaton) ?? loadAddon().constraint(automaton);
  nativeConstraints.set(automaton, known);
  return known;
}
