/** Overrides at a start: in force, or left out when they have kept the node from starting, and then dropped once it runs without them. */
import type { LoadedConfig } from '../config/config.js';
import { conflictsOf, type Overridden, overridePaths, withOverrides } from '../config/overrides.js';
import type { Logger } from '../log/log.js';
import type { NodePublisher } from '../publish/node.js';
import type { StateDir } from './state-dir.js';

export class OverrideGuard {
  /** Why the overrides are not in force. */
  private reason: string | null = null;
  private wereThere = false;

  constructor(
    private readonly stateDir: StateDir,
    private readonly log: Logger,
  ) {}

  /** Overrides were in force, and so may be why a start failed. */
  get inForce(): boolean {
    return this.reason === null && this.wereThere;
  }

  /** What is to be in force. `without` is why this start must do without the overrides, if it must. */
  async begin(loaded: LoadedConfig, without: string | null): Promise<Overridden> {
    const { overrides, source } = this.stateDir;
    this.wereThere = Object.keys(overrides).length > 0;
    const unfinished = without === null ? await this.stateDir.beginStart() : 0;
    this.reason = without ?? (unfinished > 0 ? `${unfinished} starts with them in a row ended before the node ran` : null);
    if (this.reason === null) return withOverrides(loaded, overrides, source);
    this.log.error(`The overrides of ${source} are not in force: ${this.reason}`);
    this.stateDir.suspend();
    return withOverrides(loaded, {}, source);
  }

  /** The node runs: the overrides are good, or it runs without them because they were in the way. */
  async settle(node: NodePublisher): Promise<void> {
    if (this.reason === null) {
      await this.stateDir.finishStart();
      return;
    }
    const aside = await this.stateDir.setAside();
    const where = aside ?? 'their file could not be renamed';
    const text = `The overrides of ${this.stateDir.source} kept the node from starting and were dropped (${where}): ${this.reason}`;
    this.log.error(text);
    node.alert('overrides', text);
    node.event('overrides_dropped', text);
  }

  /** What is in force of them, and what of it hides something that the file says. */
  tell(loaded: Overridden): void {
    for (const warning of [...loaded.warnings, ...conflictsOf(loaded)]) this.log.warn(warning);
    const layer = loaded.layers.find(({ origin }) => origin === 'mqtt');
    const overrides = overridePaths(layer?.values ?? {});
    if (overrides.length > 0) this.log.info({ overrides, origin: 'mqtt', file: this.stateDir.source }, `${overrides.length} overrides are in force`);
  }
}
