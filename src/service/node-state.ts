/** What is true of a node now, in one plain object: the service writes it, everybody else reads it at the moment of need. */
import type { Health } from '../mqtt/messages.js';
import type { LoadedModel, ModelState } from './model/model.js';
import type { Watching } from './watching.js';

export interface NodeState {
  readonly version: string;
  /** Of this process, in all its messages. */
  readonly session: string;
  /** When the process began, in milliseconds of performance.now(). */
  readonly begunMs: number;
  lifecycle: Exclude<Health['lifecycle'], 'degraded'>;
  modelState: ModelState;
  model: LoadedModel | null;
  /** Its name, where it was installed; null: it is the package of the configuration. */
  release: string | null;
  /** Of an installed one. */
  modelFolder: string | undefined;
  /** Cameras, watches and queries; null until the model is loaded. */
  watching: Watching | null;
}
