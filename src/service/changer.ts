/**
 * The configuration of a running node and every way it changes: over MQTT and by reloading the file. One change at a time; each is validated
 * whole before any of it is applied, and what cannot be applied leaves everything as it was.
 */
import { MiphaError } from '../errors.js';
import type { WatchSpec } from '../watch/spec.js';
import { type Config, type ConfigInput, type LoadedConfig, mergeOptions, replaceWatch, withChanges } from './config/config.js';
import { type ConfigDiff, diffConfig, inForce } from './config/diff.js';
import type { StateDir } from './state-dir.js';

export interface ChangerOptions {
  loaded: LoadedConfig;
  stateDir: StateDir;
  /** Reads the file anew. */
  load: () => Promise<LoadedConfig>;
  /** Puts a configuration into force; `diff` is against the one before. A rejection means that the old one is still in force. */
  apply: (config: Config, diff: ConfigDiff) => Promise<void>;
  /** A new configuration is in force, or waits for a restart. */
  taken: () => void;
}

export class Changer {
  private loaded: LoadedConfig;
  private present: Config;
  private pending: readonly string[] = [];
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: ChangerOptions) {
    this.loaded = options.loaded;
    this.present = options.loaded.config;
  }

  /** What is in force. */
  get config(): Config {
    return this.present;
  }

  /** Settings that wait for a restart. */
  get restartRequired(): readonly string[] {
    return this.pending;
  }

  /** Throws ERR_CONFIG. */
  putWatch(id: string, spec: WatchSpec): Promise<{ created: boolean; persisted: boolean }> {
    return this.inTurn(async () => {
      const created = this.present.watches[id] === undefined;
      await this.take(this.withoutNewQuestions(replaceWatch(this.loaded, id, spec as ConfigInput)));
      return { created, persisted: await this.options.stateDir.putWatch(id, spec as ConfigInput) };
    });
  }

  deleteWatch(id: string): Promise<boolean> {
    return this.inTurn(async () => {
      await this.take(replaceWatch(this.loaded, id, null));
      const configured = this.loaded.layers.some(({ origin, values }) => origin !== 'mqtt' && hasWatch(values, id));
      return await this.options.stateDir.deleteWatch(id, configured);
    });
  }

  /** Throws ERR_CONFIG, for settings that must not be changed over MQTT too. */
  patch(patch: ConfigInput): Promise<{ restart: readonly string[]; persisted: boolean }> {
    return this.inTurn(async () => {
      await this.take(this.withoutNewQuestions(mergeOptions(this.loaded, patch)));
      const persisted = await this.options.stateDir.putOptions(patch, this.loaded.config.watches as Record<string, ConfigInput>);
      return { restart: this.pending, persisted };
    });
  }

  /** Reads the file again and applies what changed. Throws ERR_CONFIG, and then the old configuration stays in force. */
  reload(): Promise<LoadedConfig> {
    return this.inTurn(async () => {
      await this.take(withChanges(await this.options.load(), this.options.stateDir.changes));
      return this.loaded;
    });
  }

  /** Where free questions are forbidden, a watch must not bring one either. Throws ERR_CONFIG. */
  private withoutNewQuestions(next: LoadedConfig): LoadedConfig {
    if (this.present.requests.queries) return next;
    const { watches } = this.present;
    const fresh = Object.entries(next.config.watches).filter(([id, { question }]) => watches[id]?.question !== question);
    if (fresh.length === 0) return next;
    const forbidden = fresh.map(([id]) => `watches.${id}.question`);
    throw new MiphaError(
      'ERR_CONFIG',
      `This node asks only the questions of its own configuration (requests.queries is off): ${forbidden.join(', ')}`,
      {
        details: { forbidden },
      },
    );
  }

  private async take(next: LoadedConfig): Promise<void> {
    const config = inForce(this.present, next.config);
    const diff = diffConfig(this.present, config);
    if (diff.changed.length > 0) await this.options.apply(config, diff);
    this.loaded = next;
    this.present = config;
    this.pending = diffConfig(config, next.config).restart;
    this.options.taken();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(work);
    this.queue = turn.catch(() => {});
    return turn;
  }
}

function hasWatch(values: unknown, id: string): boolean {
  const { watches } = (values ?? {}) as { watches?: Record<string, unknown> };
  return typeof watches === 'object' && watches !== null && Object.hasOwn(watches, id);
}
