/** A node through its lives: it begins anew on request, and without overrides where those keep it from starting. */
import type { MiphaError } from '../errors.js';
import type { LoadedConfig } from './config/config.js';
import { Log } from './log/log.js';
import { Service, type ServiceOptions } from './service.js';

export interface LivesOptions extends Pick<ServiceOptions, 'load' | 'loadModel' | 'proveModel' | 'version' | 'page'> {
  /** Ends the last life. */
  signal: AbortSignal;
  /** Default: what the configuration says, on stdout. */
  makeLog?: ((config: LoadedConfig['config']) => Log) | undefined;
}

type Ending = 'restart' | 'stopped';

export class Lives {
  private present: Service | null = null;
  private log: Log | null = null; // of the present life, or the last
  private outdated = false; // asked to read the configuration again before the node was ready for it

  constructor(private readonly options: LivesOptions) {}

  /** The one that starts, runs or stops; null between two lives. */
  get service(): Service | null {
    return this.present;
  }

  /** Resolves when the signal has ended the node; rejects when it cannot start or go on. Nothing runs afterwards. */
  async run(): Promise<void> {
    const { signal, load } = this.options;
    let withoutOverrides: string | undefined;
    for (let ending: Ending = 'restart'; ending === 'restart' && !signal.aborted; ) {
      this.outdated = false;
      const service = this.born(await load(), withoutOverrides);
      try {
        ending = await this.live(service);
        withoutOverrides = undefined;
      } catch (error) {
        const { message } = error as Error;
        if (service.started || !service.hadOverrides || signal.aborted) throw error;
        withoutOverrides = message;
      }
    }
  }

  /** Reads the configuration again, as soon as the node runs. Never rejects. */
  async reload(): Promise<void> {
    if (this.present?.started) await this.present.reload();
    else this.outdated = true;
  }

  /** What Node itself warns of. It would wait for stderr, and wait for ever for a reader that stands still. */
  warn(warning: Error): void {
    this.log?.logger.warn({ err: warning }, warning.message);
  }

  private born(loaded: LoadedConfig, withoutOverrides: string | undefined): Service {
    const { load, loadModel, proveModel, version, page, makeLog = ({ log }) => new Log(log) } = this.options;
    this.log = makeLog(loaded.config);
    return new Service({ loaded, load, loadModel, proveModel, version, page, log: this.log, withoutOverrides });
  }

  /** From start to stop. */
  private async live(service: Service): Promise<Ending> {
    const { signal } = this.options;
    const ended = new Promise<Ending>((resolve, reject) => {
      service.once('restart', () => resolve('restart'));
      service.once('failed', (error: MiphaError) => reject(error));
      signal.addEventListener('abort', () => resolve('stopped'), { once: true });
      if (signal.aborted) resolve('stopped');
    });
    ended.catch(() => {}); // awaited below
    try {
      const started = service.start();
      started.catch(() => {}); // awaited below, unless the end comes first
      this.present = service;
      const early = await Promise.race([started.then(() => null), ended]);
      if (early === null && this.outdated) void service.reload();
      return early ?? (await ended);
    } finally {
      this.present = null;
      await service.stop();
    }
  }
}
