/** Trials of a node: while it has a model, and no longer. */
import { MiphaError } from '../../errors.js';
import type { PageNode } from '../../page/node.js';
import type { NodeState } from '../node-state.js';
import type { TrialSettings } from './messages.js';
import { runTrial } from './trial.js';

type Options = Parameters<PageNode['tryOut']>[1];

export class Trials {
  private readonly ending = new AbortController();
  private readonly running = new Set<Promise<unknown>>();

  constructor(private readonly state: Pick<NodeState, 'model' | 'watching'>) {}

  /** Rejects as runTrial() does, and with ERR_DISPOSED when the node has no model yet or stops. */
  async run(settings: Omit<TrialSettings, 'revision'>, { signal, onProgress }: Options): ReturnType<typeof runTrial> {
    const { model, watching } = this.state;
    if (model === null || watching === null) throw new MiphaError('ERR_DISPOSED', 'The model is being loaded: try again in a moment');
    const options = { model, spare: watching.spare, signal: AbortSignal.any([signal, this.ending.signal]), onProgress };
    const trial = runTrial({ ...settings, revision: model.revision }, options);
    const settled = trial.catch(() => {});
    this.running.add(settled);
    try {
      return await trial;
    } finally {
      this.running.delete(settled);
    }
  }

  /** Resolves when their threads are gone. */
  async stop(): Promise<void> {
    this.ending.abort(new MiphaError('ERR_DISPOSED', 'The node is being stopped'));
    await Promise.all(this.running);
  }
}
