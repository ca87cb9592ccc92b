/** The model a node asks: loaded from a package, or put in its place by a test. */
import { proveBackend } from '../../engine/backend-choice.js';
import { Mipha } from '../../engine/mipha.js';
import type { ChatModel } from '../chat/chat-model.js';
import type { Config } from '../config/config.js';

export type ModelState = 'loading' | 'ready' | 'failed';

export interface LoadedModel extends ChatModel {
  readonly imageSize: number; // pixels
  status(): Pick<ReturnType<Mipha['status']>, 'backend' | 'memory' | 'passedOver'>;
  dispose(): Promise<void>;
}

/** What is loaded, and by what. */
export type ModelChoice = Omit<Config['model'], 'updates'>;

export type LoadModel = (config: ModelChoice, signal: AbortSignal) => Promise<LoadedModel>;

/** `shipped` is the folder that is loaded when the configuration names none. */
export function modelLoader(shipped: string): LoadModel {
  return async ({ folder = shipped, backend, threads }, signal) =>
    await Mipha.load(folder, { backend, signal, ...(threads === undefined ? {} : { threads }) });
}

/** Throws when this machine lacks what the model would need: as far as can be told without loading it a second time. */
export function modelProver(shipped: string): (config: ModelChoice) => Promise<void> {
  return async ({ folder = shipped, backend }) => await proveBackend(folder, backend);
}
