/**
 * The configuration of a running node and every way it changes: over MQTT and by reloading the file. One change at a time; each is validated
 * whole before any of it is applied, and what cannot be applied leaves everything as it was.
 */
import { isDeepStrictEqual } from 'node:util';
import { MiphaError } from '../errors.js';
import type { WatchSpec } from '../watch/spec.js';
import { mergeOptions, replaceWatch } from './config/change.js';
import type { Config, ConfigInput, LoadedConfig } from './config/config.js';
import { type ConfigDiff, diffConfig, inForce } from './config/diff.js';
import { refuse } from './config/issues.js';
import { differenceOf, dropOverrides, type Overridden, overridePaths, withOverrides } from './config/overrides.js';
import { own } from './own.js';
import type { StateDir } from './state/state-dir.js';

export interface ChangerOptions {
  /** What file, environment and flags say. */
  base: LoadedConfig;
  /** The same with the overrides of `stateDir` in force, or without. */
  loaded: Overridden;
  stateDir: StateDir;
  /** Reads the file anew. */
  load: () => Promise<LoadedConfig>;
  /** Throws when this machine cannot run such a model; asked before such a change is kept, for nobody else would notice before the next start. */
  proveModel: (model: Config['model']) => Promise<void>;
  /** Puts a configuration into force; `diff` is against the one before. A rejection means that the old one is still in force. */
  apply: (config: Config, diff: ConfigDiff) => Promise<void>;
  /** A new configuration is in force, or waits for a restart. */
  taken: () => void;
}

export class Changer {
  private base: LoadedConfig;
  private loaded: Overridden;
  private present: Config;
  private kept: ConfigInput; // all overrides
  private pending: readonly string[] = [];
  private queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: ChangerOptions) {
    this.base = options.base;
    this.loaded = options.loaded;
    this.present = options.loaded.config;
    this.kept = options.stateDir.overrides;
  }

  /** What is in force. */
  get config(): Config {
    return this.present;
  }

  /** The same with the layers it came from; settings that wait for a restart have their new value. */
  get layered(): LoadedConfig {
    return this.loaded;
  }

  /** Settings that wait for a restart. */
  get restartRequired(): readonly string[] {
    return this.pending;
  }

  /** Paths of the settings that were changed over MQTT, those that no longer fit included. */
  get overrides(): readonly string[] {
    return overridePaths(this.kept);
  }

  /** Throws ERR_CONFIG. */
  putWatch(id: string, spec: WatchSpec): Promise<{ created: boolean; persisted: boolean }> {
    return this.inTurn(async () => {
      const created = own(this.present.watches, id) === undefined;
      return { created, persisted: await this.override(replaceWatch(this.loaded, id, spec as ConfigInput), id) };
    });
  }

  deleteWatch(id: string): Promise<boolean> {
    return this.inTurn(() => this.override(replaceWatch(this.loaded, id, null), id));
  }

  /** Throws ERR_CONFIG, for settings that must not be changed over MQTT too. */
  patch(patch: ConfigInput): Promise<{ restart: readonly string[]; persisted: boolean }> {
    return this.inTurn(async () => {
      const persisted = await this.override(mergeOptions(this.loaded, patch));
      return { restart: this.pending, persisted };
    });
  }

  /** Throws what patch() would throw, and changes nothing; what only this machine could say about a model is not asked. */
  check(patch: ConfigInput): void {
    this.refuseNewQuestions(mergeOptions(this.loaded, patch).config);
  }

  /** Drops the overrides at or below these paths; without paths all of them. Throws ERR_CONFIG when there is none at one of them. */
  drop(paths?: readonly string[]): Promise<{ dropped: readonly string[]; restart: readonly string[]; persisted: boolean }> {
    return this.inTurn(async () => {
      const { stateDir } = this.options;
      const { rest, dropped } = dropOverrides(this.kept, paths);
      const next = withOverrides(this.base, rest, stateDir.source);
      const unfit = overridePaths(next.unfit).filter((path) => !overridePaths(this.loaded.unfit).includes(path));
      if (unfit.length > 0) {
        refuse([{ path: unfit.join(', '), expected: 'to be dropped too', received: 'overrides that do not fit without these', origin: 'mqtt' }]);
      }
      await this.take(next, rest);
      return { dropped, restart: this.pending, persisted: await stateDir.keep(rest) };
    });
  }

  /** Reads the file again and applies what changed. Throws ERR_CONFIG, and then the old configuration stays in force. */
  reload(): Promise<Overridden> {
    return this.inTurn(async () => {
      const { load, stateDir } = this.options;
      const base = await load();
      await this.take(withOverrides(base, this.kept, stateDir.source), this.kept);
      this.base = base;
      return this.loaded;
    });
  }

  /** Takes a configuration that was changed over MQTT, and keeps how it differs from the file's. `id` is the watch that was put or deleted. */
  private async override(wanted: LoadedConfig, id?: string): Promise<boolean> {
    const { stateDir } = this.options;
    this.refuseNewQuestions(wanted.config);
    await this.proveModel(wanted.config.model);
    const overrides = besides(this.loaded.unfit, differenceOf(this.base.config, wanted.config), id);
    await this.take(withOverrides(this.base, overrides, stateDir.source), overrides);
    return await stateDir.keep(overrides);
  }

  private async proveModel(model: Config['model']): Promise<void> {
    if (isDeepStrictEqual(model, this.loaded.config.model)) return;
    try {
      await this.options.proveModel(model);
    } catch (error) {
      const { message } = error as Error;
      refuse([{ path: 'model.backend', expected: 'a backend that this machine has', received: `${model.backend} (${message})`, origin: 'mqtt' }]);
    }
  }

  /** Where free questions are forbidden, a watch must not bring one either. Throws ERR_CONFIG. */
  private refuseNewQuestions({ watches }: Config): void {
    if (this.present.requests.queries) return;
    const known = (id: string) => [this.present, this.base.config].flatMap((config) => own(config.watches, id) ?? []);
    const forbidden = Object.entries(watches).flatMap(([id, { question, events }]) => {
      const second = events.confirm?.question;
      const isKnown = known(id).some((watch) => watch.question === question);
      const isSecondKnown = second === undefined || known(id).some((watch) => watch.events.confirm?.question === second);
      return [...(isKnown ? [] : [`watches.${id}.question`]), ...(isSecondKnown ? [] : [`watches.${id}.events.confirm.question`])];
    });
    if (forbidden.length === 0) return;
    throw new MiphaError(
      'ERR_CONFIG',
      `This node asks only the questions of its own configuration (requests.queries is off): ${forbidden.join(', ')}`,
      { details: { forbidden } },
    );
  }

  private async take(next: Overridden, overrides: ConfigInput): Promise<void> {
    const config = inForce(this.present, next.config);
    const diff = diffConfig(this.present, config);
    if (diff.changed.length > 0) await this.options.apply(config, diff);
    this.loaded = next;
    this.kept = overrides;
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

/** Overrides that do not fit the file now stay kept, unless the same section, camera or watch is overridden anew. */
function besides(unfit: ConfigInput, fresh: ConfigInput, id: string | undefined): ConfigInput {
  const kept = Object.entries(unfit).map(([key, before]) => {
    const after = own(fresh, key);
    if (key !== 'cameras' && key !== 'watches') return [key, after ?? before];
    const ids = Object.entries(before as ConfigInput).filter(([name]) => !(key === 'watches' && name === id));
    return [key, { ...Object.fromEntries(ids), ...(after as ConfigInput | undefined) }];
  });
  return { ...fresh, ...Object.fromEntries(kept) };
}
